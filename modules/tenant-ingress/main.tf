# The route from the tenant's domain to its cell: a file for nginx's conf.d, or for Traefik's file provider.

terraform {
  required_version = ">= 1.4"
}

locals {
  root = trimsuffix(var.root, "/")

  # nginx.conf is rendered from nginx.conf.j2 before Terraform starts.
  routes = {
    nginx = {
      file    = "ingress/nginx/${var.tenantId}.conf"
      content = file("${path.module}/nginx.conf")
    }
    traefik = {
      file    = "ingress/traefik/${var.tenantId}.yaml"
      content = yamlencode(local.traefik)
    }
  }
  route = local.routes[var.kind]

  # Traefik serves no files of its own, so the cell answers for the DID document too.
  traefik = {
    http = {
      routers = {
        "tenant-${var.tenantId}" = {
          rule        = "Host(`${var.domain}`)"
          service     = "tenant-${var.tenantId}"
          middlewares = ["tenant-${var.tenantId}"]
        }
        "tenant-${var.tenantId}-did" = {
          rule        = "Host(`${var.domain}`) && Path(`/.well-known/did.json`)"
          service     = "tenant-${var.tenantId}"
          middlewares = ["tenant-${var.tenantId}", "tenant-${var.tenantId}-did"]
        }
      }
      middlewares = {
        "tenant-${var.tenantId}" = {
          headers = { customRequestHeaders = { "X-Tenant-Id" = var.tenantId } }
        }
        "tenant-${var.tenantId}-did" = {
          headers = { accessControlAllowOriginList = ["*"] }
        }
      }
      services = {
        "tenant-${var.tenantId}" = {
          loadBalancer = { servers = [for upstream in var.upstreams : { url = "http://${upstream}" }] }
        }
      }
    }
  }
}

module "file" {
  source = "./file"

  root    = local.root
  path    = local.route.file
  content = local.route.content
}
