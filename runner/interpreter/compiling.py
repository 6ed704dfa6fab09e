"""Bundles, as they are stored, into plans, as the reducer reads them."""

from typing import Any

from runner.engine.plan import Plan, PlannedActivity, RetryRule
from runner.graph.tiers import tiers
from runner.model.bundle import ActivitySettings, Bundle

WITHOUT_OUTPUTS = frozenset({"dispose", "destroy", "plan", "drift", "cfm.orchestration.vpa.dispose"})
"""Discriminators that make nothing: the output schema says what a deployed resource gives, and is not held against them."""


def compile_bundle(digest: str, data: bytes) -> Plan:
    """The plan of a stored bundle; raises `runner.errors.NeverRetry` when the bytes are no bundle."""
    return plan_of(Bundle.from_bytes(data), digest)


def plan_of(bundle: Bundle, digest: str = "") -> Plan:
    """The plan of a bundle."""
    definition = bundle.definition
    return Plan(
        digest=digest or bundle.digest,
        type=definition.type,
        tiers=tiers(definition.pairs()),
        activities={one.id: _activity(bundle.settings(one.id)) for one in definition.activities},
        active=definition.active,
        schema=definition.plain_schema() or None,
        input=definition.input,
        output=tuple((one.source, definition.target_of(one)) for one in definition.output),
        eager=definition.scheduling == "eager",
        cancel_siblings=definition.on_failure == "cancel",
        compensation=plan_of(bundle.compensation) if bundle.compensation else None,
    )


def _activity(settings: ActivitySettings) -> PlannedActivity:
    activity, definition, retry = settings.activity, settings.definition, settings.retry
    return PlannedActivity(
        id=activity.id,
        type=activity.type,
        depends_on=activity.depends_on,
        discriminator=activity.discriminator,
        provider=definition.provider,
        inputs=settings.inputs,
        config=definition.config,
        modules=settings.modules,
        input_schema=_schema(definition.plain_input_schema()),
        output_schema=_schema(definition.plain_output_schema())
        if activity.discriminator not in WITHOUT_OUTPUTS
        else None,
        retry=RetryRule(
            max_attempts=_filled(retry.max_attempts),
            initial_millis=_filled(retry.initial_interval_millis),
            coefficient=_filled(retry.backoff_coefficient),
            max_interval_millis=_filled(retry.max_interval_millis),
        ),
        timeout_millis=settings.timeout_millis,
        wait_timeout_millis=settings.wait_timeout_millis,
        heartbeat_timeout_millis=settings.heartbeat_timeout_millis,
    )


def _schema(schema: Any) -> Any:
    return schema if schema not in ({}, True) else None


def _filled(value: Any) -> Any:
    assert value is not None  # noqa: S101 - ActivitySettings.retry has every field
    return value
