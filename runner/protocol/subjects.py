"""Subjects and names of the native protocol.

Identifiers come from users and may hold anything; `token` encodes one injectively into a single subject token. Activity
types keep their dots, each segment being a token of its own (the model refuses empty segments).
"""

import hashlib
import re
import string
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_SAFE = frozenset(string.ascii_letters + string.digits + "-_")


def token(text: str) -> str:
    """One subject token for any text: letters, digits, ``-`` and ``_`` stand for themselves, other bytes are ``=XX``.

    Injective. The empty text is ``=``.
    """
    if _PLAIN.fullmatch(text):
        return text
    if not text:
        return "="
    return "".join(chr(b) if chr(b) in _SAFE else f"={b:02X}" for b in text.encode("utf-8", "surrogatepass"))


def partition_of(oid: str, partitions: int) -> int:
    """Which partition takes an orchestration's events: stable over processes, versions and languages."""
    digest = hashlib.blake2b(oid.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions


@dataclass(frozen=True, slots=True)
class Subjects:
    """Builds every subject below one prefix.

    Attributes:
        prefix: First token(s) of every subject, ``tierform`` by default.
        partitions: How many event partitions there are. Configuration, not data: no stored subject of the log has it.
    """

    prefix: str = "tierform"
    partitions: int = 4

    def run(self, oid: str) -> str:
        """The log of one orchestration."""
        return f"{self.prefix}.run.{token(oid)}"

    def event(self, oid: str) -> str:
        """Where events for one orchestration go."""
        return f"{self.prefix}.event.{partition_of(oid, self.partitions)}.{token(oid)}"

    def event_filter(self, partition: int) -> str:
        """All events of one partition."""
        return f"{self.prefix}.event.{partition}.>"

    def task(self, activity_type: str) -> str:
        """The queue of one activity type."""
        return f"{self.prefix}.task.{activity_type}"

    def response(self, oid: str, generation: int) -> str:
        """The response of one generation; written once."""
        return f"{self.prefix}.response.{token(oid)}.{generation}"

    def dead(self, kind: str, oid: str) -> str:
        """Dead letters of one kind."""
        return f"{self.prefix}.dead.{kind}.{token(oid)}"

    def live(self, oid: str) -> str:
        """Live events of one orchestration."""
        return f"{self.prefix}.live.{token(oid)}"

    def beat(self, kind: str, name: str) -> str:
        """Signs of life of one engine or agent; core NATS, lossy."""
        return f"{self.prefix}.beat.{kind}.{token(name)}"

    def beats(self, kind: str) -> str:
        """All signs of life of one kind."""
        return f"{self.prefix}.beat.{kind}.*"

    def control(self, oid: str) -> str:
        """What the engine tells the agents that run an orchestration's activities: stop this lease."""
        return f"{self.prefix}.control.{token(oid)}"

    def ask(self, what: str) -> str:
        """Requests to any engine."""
        return f"{self.prefix}.ask.{what}"

    @staticmethod
    def task_consumer(activity_type: str) -> str:
        """Name of the durable consumer of one activity type."""
        return "task-" + activity_type.replace(".", "=")

    @staticmethod
    def event_consumer(partition: int) -> str:
        """Name of the durable consumer of one partition's events."""
        return f"event-{partition}"
