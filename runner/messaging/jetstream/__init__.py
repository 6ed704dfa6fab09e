"""The JetStream backend: `connect` gives a `runner.messaging.ports.Messaging` over nats-py."""

from runner.messaging.jetstream.messaging import JetStreamMessaging, connect
from runner.messaging.jetstream.settings import JetStreamSettings

__all__ = ["JetStreamMessaging", "JetStreamSettings", "connect"]
