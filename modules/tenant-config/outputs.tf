output "path" {
  description = "The active configuration's file."
  value       = "${local.root}/${local.file}"
}

output "configuration" {
  description = "What the file says."
  value       = local.configuration
}

output "sha256" {
  description = "Digest of the file."
  value       = sha256(local.content)
}

output "apiKey" {
  description = "The tenant's key for the cell's API, derived from the registration token; null without one."
  value       = var.registrationToken == null ? null : sha256("api-key\n${var.cell}\n${var.tenantId}\n${var.registrationToken}")
  sensitive   = true
}
