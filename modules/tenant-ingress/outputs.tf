output "path" {
  description = "The route's file."
  value       = "${local.root}/${local.route.file}"
}

output "url" {
  description = "The tenant's site; TLS ends in front of the ingress."
  value       = "https://${var.domain}/"
}

output "routes" {
  description = "What goes where."
  value = [
    { host = var.domain, path = "/.well-known/did.json", to = var.kind == "nginx" ? [var.didPath] : var.upstreams },
    { host = var.domain, path = "/", to = var.upstreams },
  ]
}

output "sha256" {
  description = "Digest of the file."
  value       = sha256(local.route.content)
}
