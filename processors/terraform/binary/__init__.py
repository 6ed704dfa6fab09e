"""A Terraform or OpenTofu executable."""

from processors.terraform.binary.driver import BinaryDriver

__all__ = ["BinaryDriver"]
