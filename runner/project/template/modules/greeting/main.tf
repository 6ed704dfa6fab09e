# A module of your own. Its variables are the activity's inputs, its outputs the activity's outputs.

terraform {
  required_version = ">= 1.4"
}

variable "tenantId" {
  description = "Whom to greet."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,40}$", var.tenantId))
    error_message = "tenantId must be 1 to 40 of a to z, 0 to 9 and hyphens."
  }
}

variable "greeting" {
  description = "How to greet."
  type        = string
  default     = "Hello"
}

# Built into Terraform: nothing is downloaded. Put your own resources and providers in its place.
resource "terraform_data" "greeting" {
  input = "${var.greeting}, ${var.tenantId}!"
}

output "message" {
  description = "The greeting."
  value       = terraform_data.greeting.output
}
