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
  description = "Absolute path of the folder that holds cells/<cell>."
  type        = string

  validation {
    condition     = can(regex("^/[^[:cntrl:]\"'$\\\\;{}]*$", var.root))
    error_message = "root must be an absolute path without control characters, quotes, backslashes and any of $;{}."
  }
}

variable "did" {
  description = "The tenant's DID."
  type        = string

  validation {
    condition     = can(regex("^did:[a-z0-9]+:[A-Za-z0-9.:%_-]+$", var.did))
    error_message = "did must be a DID, such as did:web:acme.example.com."
  }
}

variable "didDocument" {
  description = "The tenant's DID document; the configuration names its verification methods."
  type        = any
  default     = null
}

variable "displayName" {
  description = "What people call the tenant; the tenantId when null."
  type        = string
  default     = null
}

variable "metadata" {
  description = "Anything else the cell should know of the tenant, any JSON value."
  type        = any
  default     = {}
}

variable "format" {
  description = "json or yaml."
  type        = string
  default     = "json"

  validation {
    condition     = contains(["json", "yaml"], var.format)
    error_message = "format must be json or yaml."
  }
}

variable "registrationToken" {
  description = "What the tenant registers with in the cell; the configuration holds its SHA-256 alone."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.registrationToken == null || try(length(var.registrationToken), 0) >= 16
    error_message = "registrationToken must have at least 16 characters: its digest is published."
  }
}
