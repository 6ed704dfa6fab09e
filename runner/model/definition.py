"""Orchestration definitions and activity definitions.

Source: The Orchestrator, "Resource Model: Orchestrations and Activities". Fields beyond it are optional, and ignored by
other implementations; docs/schemas describes all of them.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Strict,
    StrictBool,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from runner.graph.references import default_target
from runner.model.openapi import plain
from runner.model.wire import ID_PATTERN, TYPE_PATTERN, Wire

LONGEST_NAME = 200
_LONGEST_MILLIS = 10 * 366 * 24 * 60 * 60 * 1000

TypeName = Annotated[str, Field(pattern=TYPE_PATTERN, max_length=LONGEST_NAME)]
ActivityId = Annotated[str, Field(pattern=ID_PATTERN, max_length=LONGEST_NAME)]
Millis = Annotated[int, Strict(), Field(gt=0, le=_LONGEST_MILLIS)]
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000)]
JsonObject = dict[str, Any]


def _one_or_many(value: Any) -> Any:
    """``dependsOn`` takes one id or an array; the same id twice counts once."""
    ids = [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys(ids)) if isinstance(ids, list) and all(isinstance(id_, str) for id_ in ids) else ids


DependsOn = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class InputReference(Wire):
    """Where one value comes from and what it is called; in JSON a string when ``source`` says it all."""

    source: str = Field(
        min_length=1, description="A key of the input, or an activity's id, a dot and an output's name."
    )
    target: str | None = Field(default=None, min_length=1, description="The name that the value gets.")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _to_string(self, handler: SerializerFunctionWrapHandler) -> Any:
        return self.source if self.target is None else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A string, or the object."""
        text = {"type": "string", "minLength": 1, "description": "A source; its last segment is the value's name."}
        return {"anyOf": [text, super().__get_pydantic_json_schema__(core_schema, handler)]}


class RetryPolicy(Wire):
    """How often and how soon an activity is tried again after RetryError. What is left out is decided further out."""

    max_attempts: Count | None = Field(default=None, description="How often it is tried at most, the first included.")
    initial_interval_millis: Millis | None = Field(default=None, description="Before the second attempt.")
    backoff_coefficient: Annotated[float, Strict(), Field(ge=1, le=1000, allow_inf_nan=False)] | None = Field(
        default=None, description="Each interval is the one before times this."
    )
    max_interval_millis: Millis | None = Field(default=None, description="No interval is longer.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        first, longest = self.initial_interval_millis, self.max_interval_millis
        if first is not None and longest is not None and longest < first:
            message = f"maxIntervalMillis ({longest}) must not be less than initialIntervalMillis ({first})"
            raise ValueError(message)
        return self

    def over(self, other: "RetryPolicy | None") -> "RetryPolicy":
        """This policy, with what it leaves out taken from ``other``.

        Where the two together would start above their longest interval, this policy's word stands.
        """
        merged = {**(other.given() if other else {}), **self.given()}
        first, longest = merged.get("initial_interval_millis", 0), merged.get("max_interval_millis", _LONGEST_MILLIS)
        if first > longest and self.max_interval_millis is not None:
            merged["initial_interval_millis"] = longest
        elif first > longest:
            merged["max_interval_millis"] = first
        return RetryPolicy(**merged)

    def given(self) -> dict[str, Any]:
        """The fields that are not left out, by their Python names."""
        return self.model_dump(exclude_none=True, by_alias=False)


DEFAULT_RETRY = RetryPolicy(
    max_attempts=5, initial_interval_millis=1_000, backoff_coefficient=2.0, max_interval_millis=60_000
)
"""What holds where neither the activity nor its definition says otherwise."""


class _Timing(Wire):
    """What both an activity and its definition may say; the activity wins."""

    retry: RetryPolicy | None = Field(default=None, description="How RetryError is retried.")
    timeout_millis: Millis | None = Field(default=None, description="How long one attempt may take.")
    heartbeat_timeout_millis: Millis | None = Field(default=None, description="Longest time between signs of life.")
    wait_timeout_millis: Millis | None = Field(default=None, description="How long it may stay in Wait.")


class Activity(_Timing):
    """One unit of work of an orchestration."""

    id: ActivityId = Field(description="Unique within the orchestration; no dots.")
    type: TypeName = Field(description="The type of its activity definition.")
    discriminator: str = Field(default="", description="Tells its processor what to do: deploy, dispose…")
    depends_on: DependsOn = Field(default=(), description="The activities that must have completed before.")
    inputs: tuple[InputReference, ...] = Field(default=(), description="What it is given.")


class OrchestrationDefinition(Wire):
    """The workflow of an operation: a directed acyclic graph of activities."""

    type: TypeName = Field(description="What orchestrations of it are started by.")
    description: str = Field(default="", description="For people.")
    active: StrictBool = Field(default=True, description="Whether orchestrations may be started.")
    input_schema: JsonObject = Field(default_factory=dict, alias="schema", description="JSON Schema of the input data.")
    input: JsonObject = Field(default_factory=dict, description="Input data that lies under what a manifest gives.")
    activities: tuple[Activity, ...] = Field(description="What is executed.")
    output: tuple[InputReference, ...] = Field(
        default=(), description="The output data; without any, all outputs of all activities."
    )
    compensation: TypeName | None = Field(
        default=None, description="The orchestration definition that undoes this one."
    )
    on_failure: Literal["drain", "cancel"] = Field(
        default="drain", description="What running activities do once another has failed: finish, or be cancelled."
    )
    concurrency_key: str | None = Field(
        default=None, min_length=1, description="A template over the input: one orchestration at a time per value."
    )
    scheduling: Literal["tiers", "eager"] = Field(
        default="tiers", description="An activity starts with its tier, or as soon as its own dependencies completed."
    )
    schedule: str | None = Field(default=None, min_length=1, description="A cron expression: when to start by itself.")
    ttl: str | None = Field(
        default=None, pattern=r"^([0-9]+(ms|s|m|h|d|w))+$", description="How long until it is disposed of: 12h, 30d."
    )
    template_ref: str = Field(default="", description="The template that this definition was made from.")

    def plain_schema(self) -> Any:
        """The JSON Schema of the input, without its wrapper."""
        return plain(self.input_schema)

    def pairs(self) -> list[tuple[str, tuple[str, ...]]]:
        """The graph as ``runner.graph`` takes it."""
        return [(activity.id, activity.depends_on) for activity in self.activities]

    def activity(self, activity_id: str) -> Activity | None:
        """The activity of that id."""
        return next((activity for activity in self.activities if activity.id == activity_id), None)

    def known_input_keys(self) -> frozenset[str]:
        """The keys of the input that the definition itself names: its schema's properties, its defaults."""
        properties = self.plain_schema().get("properties", {})
        return frozenset(self.input) | frozenset(properties if isinstance(properties, dict) else ())

    def target_of(self, reference: InputReference) -> str:
        """The name that a referenced value gets."""
        return reference.target or default_target(reference.source, self.known_input_keys())


class ActivityDefinition(_Timing):
    """A work item that is reliably executed by an agent."""

    type: TypeName = Field(description="What activities refer to.")
    provider: str = Field(default="", max_length=LONGEST_NAME, description="Names the processor that executes it.")
    description: str = Field(default="", description="For people.")
    input_schema: JsonObject = Field(
        default_factory=dict, description='Schema of the inputs: {"openAPIV3Schema": {…}} or a plain JSON Schema.'
    )
    output_schema: JsonObject = Field(
        default_factory=dict, description='Schema of the outputs: {"openAPIV3Schema": {…}} or a plain JSON Schema.'
    )
    config: JsonObject = Field(default_factory=dict, description="For its processor.")
    concurrency: Count | None = Field(default=None, description="At most so many at once, over all agents.")

    def plain_input_schema(self) -> Any:
        """The JSON Schema of the inputs, without its wrapper; ``{}`` for none."""
        return plain(self.input_schema)

    def plain_output_schema(self) -> Any:
        """The JSON Schema of the outputs, without its wrapper; ``{}`` for none."""
        return plain(self.output_schema)
