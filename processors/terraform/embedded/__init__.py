"""Terraform as a shared library, in worker processes."""

from processors.terraform.embedded.driver import EmbeddedDriver

__all__ = ["EmbeddedDriver"]
