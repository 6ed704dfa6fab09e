"""Orchestrations as callers see them: the manifest that starts one, and what is told of it.

The REST form of the reference system, so that its clients can be used unchanged.
"""

from enum import IntEnum
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, Field, Strict

from runner.errors import InvalidDefinition, InvalidInput
from runner.model.definition import LONGEST_NAME, DependsOn, JsonObject, TypeName
from runner.model.wire import Wire

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


class OrchestrationState(IntEnum):
    """The states, with the integers that are on the wire."""

    INITIALIZED = 0
    RUNNING = 1
    COMPLETED = 2
    ERRORED = 3
    CANCELLED = 4
    COMPENSATING = 5
    COMPENSATED = 6

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens to the orchestration by itself."""
        return self not in {self.INITIALIZED, self.RUNNING, self.COMPENSATING}


class Manifest(Wire):
    """Asks for an orchestration. An empty id counts as none."""

    refusal: ClassVar[type[InvalidDefinition] | type[InvalidInput]] = InvalidInput

    id: str = Field(default="", max_length=LONGEST_NAME, pattern=_PRINTABLE, description="The orchestration's id.")
    correlation_id: str = Field(
        default="", max_length=LONGEST_NAME, pattern=_PRINTABLE, description="The caller's own."
    )
    orchestration_type: TypeName = Field(description="The type of the orchestration definition.")
    payload: JsonObject = Field(default_factory=dict, description="The input, over the definition's own.")
    priority: Annotated[int, Strict(), Field(ge=0, le=9)] = Field(default=0, description="9 goes first, 0 last.")


class StepActivity(Wire):
    """An activity as the orchestration shows it."""

    id: str
    type: str
    discriminator: str = ""
    depends_on: DependsOn = ()


class Step(Wire):
    """One tier."""

    activities: tuple[StepActivity, ...] = ()


class OrchestrationEntry(Wire):
    """An orchestration in a list."""

    refusal: ClassVar[type[InvalidDefinition] | type[InvalidInput]] = InvalidInput

    id: str
    correlation_id: str = ""
    definition_id: str = ""
    state: OrchestrationState
    state_timestamp: AwareDatetime
    created_timestamp: AwareDatetime
    orchestration_type: str


class Orchestration(OrchestrationEntry):
    """An orchestration in full. ``completed`` has a member ``{}`` for each completed activity."""

    steps: tuple[Step, ...] = ()
    processing_data: JsonObject = Field(default_factory=dict)
    output_data: JsonObject = Field(default_factory=dict)
    completed: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def entry(self) -> OrchestrationEntry:
        """What a list shows of it."""
        return OrchestrationEntry(**{name: getattr(self, name) for name in OrchestrationEntry.model_fields})
