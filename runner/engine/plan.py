"""What the reducer needs to know of a definition, compiled once per bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.engine.state import UNDO


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How RetryError is retried: delay ``initial * coefficient ** (attempt - 1)``, at most ``max_interval``."""

    max_attempts: int = 5
    initial_millis: int = 1_000
    coefficient: float = 2.0
    max_interval_millis: int = 60_000


@dataclass(frozen=True, slots=True)
class PlannedActivity:
    """One activity with its definition's fields folded in.

    Attributes:
        inputs: ``(source, target)`` pairs; an empty target means the default one.
    """

    id: str
    type: str
    depends_on: tuple[str, ...] = ()
    discriminator: str = ""
    provider: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    input_schema: Any = None
    output_schema: Any = None
    retry: RetryRule = field(default_factory=RetryRule)
    timeout_millis: int | None = None
    wait_timeout_millis: int | None = None
    heartbeat_timeout_millis: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One compiled definition.

    Attributes:
        tiers: Activity ids per tier, in the definition's order.
        eager: Whether an activity may start as soon as its own dependencies have completed, not the whole tier.
        cancel_siblings: Whether a fatal error cancels running siblings instead of letting them drain.
        compensation: What undoes this one, if anything does.
        output: ``(source, target)`` pairs; empty means the flat union of the activities' outputs.
    """

    digest: str
    type: str
    tiers: tuple[tuple[str, ...], ...]
    activities: Mapping[str, PlannedActivity]
    active: bool = True
    schema: Any = None
    input: Mapping[str, Any] = field(default_factory=dict)
    output: tuple[tuple[str, str], ...] = ()
    eager: bool = False
    cancel_siblings: bool = False
    compensation: "Plan | None" = None

    def planned(self, name: str) -> PlannedActivity:
        """The activity of that name; ``undo.<id>`` is one of the compensation."""
        if name.startswith(UNDO) and self.compensation is not None:
            return self.compensation.activities[name.removeprefix(UNDO)]
        return self.activities[name]

    def tiers_of(self, only: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The tiers restricted to the named activities; all of them when none is named."""
        if not only:
            return self.tiers
        chosen = set(only)
        kept = (tuple(name for name in tier if name in chosen) for tier in self.tiers)
        return tuple(tier for tier in kept if tier)
