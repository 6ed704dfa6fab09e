"""Processes that run Terraform commands and outlive the agent until Terraform has saved its state."""

from processors.terraform.supervision.pool import WorkerPool
from processors.terraform.supervision.process import Ended, WorkerDied, WorkerProcess

__all__ = ["Ended", "WorkerDied", "WorkerPool", "WorkerProcess"]
