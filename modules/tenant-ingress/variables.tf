variable "tenantId" {
  description = "The tenant; names its files."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.tenantId))
    error_message = "tenantId must be 1 to 40 of a to z, 0 to 9 and hyphens inside."
  }
}

variable "domain" {
  description = "The tenant's domain."
  type        = string

  validation {
    condition = (
      length(var.domain) <= 253 &&
      can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.domain))
    )
    error_message = "domain must be a host name in lower case, such as acme.example.com."
  }
}

variable "cell" {
  description = "The cell that serves the tenant."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.cell))
    error_message = "cell must be 1 to 40 of a to z, 0 to 9 and hyphens inside."
  }
}

variable "root" {
  description = "Absolute path of the folder that holds ingress/nginx and ingress/traefik."
  type        = string

  validation {
    condition     = can(regex("^/[^[:cntrl:]\"'$\\\\;{}]*$", var.root))
    error_message = "root must be an absolute path without control characters, quotes, backslashes and any of $;{}."
  }
}

variable "didPath" {
  description = "Absolute path of the tenant's did.json; nginx serves it itself."
  type        = string

  validation {
    condition     = can(regex("^/[^[:cntrl:]\"'$\\\\;{}]*$", var.didPath))
    error_message = "didPath must be an absolute path without control characters, quotes, backslashes and any of $;{}."
  }
}

variable "upstreams" {
  description = "Addresses of the cell, host:port each."
  type        = list(string)

  validation {
    condition = length(var.upstreams) > 0 && alltrue([
      for upstream in var.upstreams : can(regex("^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$", upstream))
    ])
    error_message = "upstreams must be one or more of host:port, such as 10.0.0.5:8080 or [fd00::5]:8080."
  }
}

variable "kind" {
  description = "nginx or traefik."
  type        = string
  default     = "nginx"

  validation {
    condition     = contains(["nginx", "traefik"], var.kind)
    error_message = "kind must be nginx or traefik."
  }
}
