# The tenant's configuration in a cell: staged in the cell's staging folder, then applied by renaming it into the folder
# of active configurations, so that the cell never reads half of one.

terraform {
  required_version = ">= 1.4"
}

locals {
  root = trimsuffix(var.root, "/")
  name = "${var.tenantId}.${var.format}"
  file = "cells/${var.cell}/active/${local.name}"
  keys = try([for method in var.didDocument.verificationMethod : method.id], [])

  configuration = merge(
    {
      tenant = {
        id       = var.tenantId
        name     = coalesce(var.displayName, var.tenantId)
        domain   = var.domain
        metadata = var.metadata
      }
      cell = var.cell
      identity = {
        did  = var.did
        keys = local.keys
      }
    },
    # The token itself stays out of files and of Terraform's state. Its digest is no secret.
    { for name, value in {
      registration = { tokenSha256 = try(nonsensitive(sha256(var.registrationToken)), null) }
    } : name => value if value.tokenSha256 != null },
  )
  content = var.format == "yaml" ? yamlencode(local.configuration) : "${jsonencode(local.configuration)}\n"
}

module "file" {
  source = "./file"

  root    = local.root
  path    = local.file
  staged  = "cells/${var.cell}/staging/${local.name}"
  content = local.content
}
