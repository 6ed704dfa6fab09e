"""The embedded nats-server: one per data folder, alive as long as somebody holds a share in it."""

from runner.embedded.holder import Endpoint, Status, attach, hold, status, stop

__all__ = ["Endpoint", "Status", "attach", "hold", "status", "stop"]
