output "did" {
  description = "The tenant's DID."
  value       = local.did
}

output "document" {
  description = "The DID document."
  value       = local.document
}

output "path" {
  description = "The file; null when none was asked for."
  value       = local.root == null ? null : "${local.root}/${local.file}"
}

output "url" {
  description = "Where did:web expects the document."
  value       = "https://${var.domain}/.well-known/did.json"
}

output "version" {
  description = "Changes with the document."
  value       = terraform_data.version.id
}
