variable "tenantId" {
  description = "The tenant; names the document's first service."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.tenantId))
    error_message = "tenantId must be 1 to 40 of a to z, 0 to 9 and hyphens inside."
  }
}

variable "domain" {
  description = "The tenant's domain; its DID is did:web:<domain>."
  type        = string

  validation {
    condition = (
      length(var.domain) <= 253 &&
      can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.domain))
    )
    error_message = "domain must be a host name in lower case, such as acme.example.com."
  }
}

variable "root" {
  description = "Absolute path of the folder to write <domain>/.well-known/did.json in; null writes no file."
  type        = string
  default     = null

  validation {
    condition     = var.root == null || can(regex("^/[^[:cntrl:]\"'$\\\\;{}]*$", var.root))
    error_message = "root must be an absolute path without control characters, quotes, backslashes and any of $;{}."
  }
}

variable "publicKeyJwk" {
  description = "The tenant's public key as a JWK (RFC 7517): kty with crv and x (OKP), crv, x and y (EC), or n and e (RSA)."
  type        = map(string)
  default     = null

  validation {
    condition = var.publicKeyJwk == null || can(
      regex("^(OKP:crv,x|EC:crv,x,y|RSA:e,n)$", format("%s:%s", var.publicKeyJwk.kty, join(",", [
        for name in sort(keys(var.publicKeyJwk)) : name if !contains(["kty", "alg", "kid", "use"], name)
      ])))
    )
    error_message = "publicKeyJwk must be a public key: kty with crv and x (OKP), crv, x and y (EC), or n and e (RSA), and of the rest only alg, kid and use. Never give a private key."
  }
}

variable "publicKeyMultibase" {
  description = "The tenant's public key as a Multikey, instead of publicKeyJwk: multibase base58btc of the multicodec key."
  type        = string
  default     = null

  validation {
    condition     = var.publicKeyMultibase == null || can(regex("^z[1-9A-HJ-NP-Za-km-z]{40,}$", var.publicKeyMultibase))
    error_message = "publicKeyMultibase must be base58btc with its z in front."
  }
}

variable "services" {
  description = "More services of the tenant; id is the fragment alone."
  type        = list(object({ id = string, type = string, serviceEndpoint = string }))
  default     = []

  validation {
    condition     = alltrue([for service in var.services : can(regex("^[A-Za-z0-9._~-]+$", service.id))])
    error_message = "The id of a service must be a plain fragment: letters, digits and any of ._~-"
  }
  validation {
    condition     = alltrue([for service in var.services : can(regex("^https?://[^[:space:][:cntrl:]\"<>\\\\]+$", service.serviceEndpoint))])
    error_message = "The serviceEndpoint of a service must be an http or https URL."
  }
}
