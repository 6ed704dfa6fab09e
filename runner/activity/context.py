"""What a processor sees of its activity."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


class StopReason(StrEnum):
    """Why a running processor is asked to stop."""

    CANCEL = "cancel"  # The orchestration was cancelled, or a sibling failed: what it returns is recorded, no more.
    DRAIN = "drain"  # The agent shuts down: the activity is handed back and goes on elsewhere.
    TIMEOUT = "timeout"  # The attempt's deadline passed: it counts as a retry error.
    LOST = "lost"  # Another agent holds the lease now: nothing this one does will be accepted.


class Stopping:
    """Tells a processor that it should stop; thread-safe to read, waited for on the executor's loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._calls: list[Callable[[], None]] = []
        self.reason: StopReason | None = None

    def request(self, reason: StopReason) -> None:
        """Ask for a stop; the first reason stands. Call it on the executor's loop."""
        if self.reason is None:
            self.reason = reason
        self._event.set()
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def on_request(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once, on the executor's loop, as soon as a stop is asked for; at once when one was."""
        if self.reason is None:
            self._calls.append(call)
        else:
            call()

    def is_requested(self) -> bool:
        """Whether a stop was asked for; safe from any thread."""
        return self.reason is not None

    async def wait(self) -> StopReason:
        """Return as soon as a stop is asked for."""
        await self._event.wait()
        assert self.reason is not None  # noqa: S101 - set before the event, see request
        return self.reason


@dataclass(frozen=True, slots=True)
class ActivityDetails:
    """The facts of one delivery of an activity; frozen.

    Attributes:
        oid: The orchestration's id.
        generation: 1 at first, one more with every retry of an ended orchestration.
        correlation_id: The manifest's, may be empty.
        orchestration_type: Type of the orchestration's definition.
        id: The activity's id within its orchestration.
        type: The activity's type.
        discriminator: ``deploy``, ``dispose``…; empty when the definition has none.
        provider: Names the processor.
        config: The activity definition's ``config``, as it stood when the orchestration started.
        modules: Digest of each module folder that ``config`` names, ``{"ingress": "sha256:…"}``.
        attempt: 1 at first; one more for each delivery after RetryError (not after Schedule).
        delivery: Which delivery of this attempt this is, from 1; more than 1 after a lost agent.
        polls: How many Schedule results this attempt has already given.
        deadline: When this attempt times out; None without a ``timeoutMillis``.
        completion_token: Completes this activity from outside once the processor has answered Wait, one time.
        last_heartbeat: What an earlier attempt gave with its last sign of life, or None.
        input_schema: JSON Schema of the inputs, or None.
        output_schema: JSON Schema of the outputs, or None.
    """

    oid: str
    id: str
    type: str
    generation: int = 1
    correlation_id: str = ""
    orchestration_type: str = ""
    discriminator: str = ""
    provider: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    delivery: int = 1
    polls: int = 0
    deadline: datetime | None = None
    completion_token: str = field(default="", repr=False)
    last_heartbeat: Any = None
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ContextChanges:
    """What a processor did to the shared context, key by key.

    Attributes:
        set: Keys that got a value.
        deleted: Keys that were deleted.
        outputs: The activity's output values.
        sensitive_values: Names in ``set`` that hold secrets.
        sensitive_outputs: Names in ``outputs`` that hold secrets.
        existing: What the activity deploys was there before its orchestration.
        heartbeat: Details of the last sign of life.
    """

    set: Mapping[str, Any]
    deleted: frozenset[str]
    outputs: Mapping[str, Any]
    sensitive_values: frozenset[str]
    sensitive_outputs: frozenset[str]
    existing: bool = False
    heartbeat: Any = None


class ActivityContext:
    """The shared persistent context as one activity sees it, and its own facts.

    What a processor sets is visible to itself at once, to its own next attempt after Schedule and RetryError, and to
    later tiers after Complete; after FatalError it is dropped. Nothing leaves the process before ``process`` returns.

    Source: The Orchestrator, "Stateful Messaging" and "Activity Executors".

    Args:
        details: The facts of this delivery.
        inputs: The activity's inputs by target name, secrets in the clear.
        values: The shared context, secrets in the clear, with this activity's own earlier changes laid over it.
        outputs: Outputs that an earlier delivery of this attempt set.
        secret_inputs: Names of inputs that are secrets or hold one: keep them off disk and argument lists.
        stopping: Told when the processor should stop.
        on_progress: Called with one line of text for people who watch; from any thread.
        on_heartbeat: Called with a JSON value as a sign of life; from any thread.
    """

    def __init__(
        self,
        details: ActivityDetails,
        *,
        inputs: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        secret_inputs: frozenset[str] = frozenset(),
        stopping: Stopping | None = None,
        on_progress: Callable[[str], None] | None = None,
        on_heartbeat: Callable[[Any], None] | None = None,
    ) -> None:
        self.details = details
        self.inputs: Mapping[str, Any] = dict(inputs or {})
        self.secret_inputs = secret_inputs
        self.stopping = stopping or Stopping()
        self._values = dict(values or {})
        self._outputs = dict(outputs or {})
        self._set: dict[str, Any] = {}
        self._deleted: set[str] = set()
        self._sensitive_values: set[str] = set()
        self._sensitive_outputs: set[str] = set()
        self._existing = False
        self._heartbeat: Any = None
        self._on_progress = on_progress
        self._on_heartbeat = on_heartbeat

    @property
    def oid(self) -> str:
        """The orchestration's id."""
        return self.details.oid

    @property
    def id(self) -> str:
        """The activity's id."""
        return self.details.id

    @property
    def discriminator(self) -> str:
        """``deploy``, ``dispose``…; empty when the definition has none."""
        return self.details.discriminator

    @property
    def attempt(self) -> int:
        """1 at first, one more after each RetryError."""
        return self.details.attempt

    @property
    def deadline(self) -> datetime | None:
        """When this attempt times out (UTC), or None."""
        return self.details.deadline

    def value(self, key: str, default: Any = None) -> Any:
        """The context's value under ``key``, else ``default``."""
        return self._values.get(key, default)

    def values(self) -> dict[str, Any]:
        """A copy of the whole context."""
        return dict(self._values)

    def read_values(self, model: type[Model]) -> Model:
        """The context with the inputs laid over it, validated into ``model``.

        Raises:
            pydantic.ValidationError: The values do not fit the model.
        """
        return model.model_validate({**self._values, **self.inputs})

    def set_value(self, key: str, value: Any, *, sensitive: bool = False) -> None:
        """Set one key of the shared context to a JSON value; ``sensitive`` stores it encrypted."""
        self._values[key] = value
        self._set[key] = value
        self._deleted.discard(key)
        (self._sensitive_values.add if sensitive else self._sensitive_values.discard)(key)

    def delete(self, key: str) -> None:
        """Remove one key from the shared context; none is no error."""
        self._values.pop(key, None)
        self._set.pop(key, None)
        self._sensitive_values.discard(key)
        self._deleted.add(key)

    def set_output_value(self, key: str, value: Any, *, sensitive: bool = False) -> None:
        """Set one output of the activity to a JSON value; ``sensitive`` stores it encrypted."""
        self._outputs[key] = value
        (self._sensitive_outputs.add if sensitive else self._sensitive_outputs.discard)(key)

    def output_values(self) -> dict[str, Any]:
        """A copy of the outputs set so far."""
        return dict(self._outputs)

    def mark_existing(self) -> None:
        """Say that what the activity deploys was there before its orchestration: compensation leaves it alone."""
        self._existing = True

    def progress(self, text: str) -> None:
        """Show one line to whoever watches this orchestration; masked, kept in its logs, never waited for."""
        if self._on_progress is not None:
            self._on_progress(text)

    def heartbeat(self, details: Any = None) -> None:
        """Give a sign of life, with an optional JSON value that the next attempt finds in ``last_heartbeat``."""
        if details is not None:
            self._heartbeat = details
        if self._on_heartbeat is not None:
            self._on_heartbeat(details)

    def changes(self) -> ContextChanges:
        """What was set and deleted so far; the executor reports it."""
        return ContextChanges(
            set=dict(self._set),
            deleted=frozenset(self._deleted),
            outputs=dict(self._outputs),
            sensitive_values=frozenset(self._sensitive_values),
            sensitive_outputs=frozenset(self._sensitive_outputs),
            existing=self._existing,
            heartbeat=self._heartbeat,
        )
