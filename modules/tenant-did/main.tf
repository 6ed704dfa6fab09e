# The tenant's Web DID: a DID document (W3C DID Core 1.0, did:web) for the tenant's domain, where did:web looks for it.

terraform {
  required_version = ">= 1.4"
}

locals {
  root  = var.root == null ? null : trimsuffix(var.root, "/")
  did   = "did:web:${var.domain}"
  keyId = "${local.did}#key-1"
  file  = "${var.domain}/.well-known/did.json"

  jwk = var.publicKeyJwk == null ? [] : [{
    id           = local.keyId
    type         = "JsonWebKey2020"
    controller   = local.did
    publicKeyJwk = var.publicKeyJwk
  }]
  multikey = var.publicKeyMultibase == null ? [] : [{
    id                 = local.keyId
    type               = "Multikey"
    controller         = local.did
    publicKeyMultibase = var.publicKeyMultibase
  }]
  hasKey = length(local.jwk) + length(local.multikey) > 0

  services = concat(
    [{ id = "${local.did}#${var.tenantId}", type = "LinkedDomains", serviceEndpoint = "https://${var.domain}/" }],
    [for service in var.services : merge(service, { id = "${local.did}#${service.id}" })],
  )

  # Without a key there is nothing to verify with: the document then only points to the tenant's services.
  document = merge(
    {
      "@context" = concat(
        ["https://www.w3.org/ns/did/v1"],
        [for _ in local.jwk : "https://w3id.org/security/suites/jws-2020/v1"],
        [for _ in local.multikey : "https://w3id.org/security/multikey/v1"],
      )
      id      = local.did
      service = local.services
    },
    { for name, value in {
      verificationMethod = concat(local.jwk, local.multikey)
      authentication     = [local.keyId]
      assertionMethod    = [local.keyId]
    } : name => value if local.hasKey },
  )
  content = "${jsonencode(local.document)}\n"
}

# Another id for every other document: what a DID resolver calls a version.
resource "terraform_data" "version" {
  triggers_replace = sha256(local.content)

  lifecycle {
    precondition {
      condition     = var.publicKeyJwk == null || var.publicKeyMultibase == null
      error_message = "Give publicKeyJwk or publicKeyMultibase, not both."
    }
  }
}

module "file" {
  source = "./file"
  count  = local.root == null ? 0 : 1

  root    = local.root
  path    = local.file
  content = local.content
}
