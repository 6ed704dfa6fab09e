"""What must leave the engine once facts are durable. Pure: messages are derived from the state, never remembered."""

import hashlib
import hmac
from collections.abc import Iterable

from runner.engine.commands import HELD_WHILE_PAUSED
from runner.engine.data import inputs_of, values_of
from runner.engine.facts import Dispatched, Fact, StopRequested
from runner.engine.plan import Plan
from runner.engine.state import UNDO, Orchestration, OrchestrationState, Status, is_undo
from runner.protocol.messages import VERSION, Control, Response, Task


def dispatched(facts: Iterable[Fact]) -> list[str]:
    """Activities whose task has to be in its queue after the facts, each once."""
    return list(dict.fromkeys(fact.activity for fact in facts if isinstance(fact, Dispatched)))


def task_of(plan: Plan, orchestration: Orchestration, name: str, secret: bytes) -> Task:
    """The activity message of an activity's current lease."""
    planned = plan.planned(name)
    activity = orchestration.activities[name]
    return Task(
        v=VERSION,
        oid=orchestration.oid,
        generation=orchestration.generation,
        correlation_id=orchestration.correlation_id,
        orchestration_type=orchestration.type,
        activity=name,
        type=planned.type,
        discriminator=planned.discriminator,
        provider=planned.provider,
        attempt=activity.attempt,
        lease=activity.lease,
        polls=activity.polls,
        config=dict(planned.config),
        modules=dict(planned.modules),
        input_schema=planned.input_schema,
        output_schema=planned.output_schema,
        inputs=inputs_of(plan, name, orchestration),
        values=values_of(activity, orchestration),
        outputs=activity.outputs,
        timeout_millis=planned.timeout_millis,
        heartbeat_timeout_millis=planned.heartbeat_timeout_millis,
        heartbeat=activity.heartbeat,
        id=name.removeprefix(UNDO) if is_undo(name) else "",
        token=completion_token(orchestration, name, secret),
        stop="cancel" if activity.status is Status.STOPPING else "",
    )


def task_id(orchestration: Orchestration, name: str) -> str:
    """The bus's message id of an activity's current lease: the same however often it is published."""
    activity = orchestration.activities[name]
    return f"{orchestration.oid}/{orchestration.generation}/{name}/{activity.lease}"


def completion_token(orchestration: Orchestration, name: str, secret: bytes) -> str:
    """Opens one Wait of one lease; derived, so every engine that has the secret can check it."""
    text = task_id(orchestration, name).encode("utf-8", "surrogatepass")
    return hmac.digest(secret, text, "sha256").hex()


def controls_of(facts: Iterable[Fact], orchestration: Orchestration) -> list[Control]:
    """What agents are told after the facts; an activity dispatched in the same breath hears it from its task."""
    listed = list(facts)
    fresh = set(dispatched(listed))
    return [
        Control(
            v=VERSION,
            activity=fact.activity,
            generation=orchestration.generation,
            lease=orchestration.activities[fact.activity].lease,
            reason="cancel",
        )
        for fact in listed
        if isinstance(fact, StopRequested) and fact.activity not in fresh
    ]


def standing_controls(orchestration: Orchestration) -> list[Control]:
    """What agents are told again and again while it holds: what is to stop, and who has lost a task to another one."""
    controls = []
    for name, activity in orchestration.activities.items():
        taken_over = activity.status is Status.QUEUED and activity.delivery > 1
        if activity.status is Status.STOPPING or taken_over:
            controls.append(
                Control(
                    v=VERSION,
                    activity=name,
                    generation=orchestration.generation,
                    lease=activity.lease,
                    reason="lost" if taken_over else "cancel",
                    delivery=activity.delivery if taken_over else 0,
                )
            )
    return controls


def response_of(orchestration: Orchestration) -> Response:
    """The response of an ended orchestration; its id is a function of orchestration and generation."""
    identity = f"{orchestration.oid}/{orchestration.generation}".encode("utf-8", "surrogatepass")
    return Response(
        v=VERSION,
        id=hashlib.blake2b(identity, digest_size=16).hexdigest(),
        manifest_id=orchestration.oid,
        correlation_id=orchestration.correlation_id,
        orchestration_type=orchestration.type,
        success=orchestration.state is OrchestrationState.COMPLETED,
        state=int(orchestration.state),
        error_detail=orchestration.error,
        properties=orchestration.output,
    )


def next_due(orchestration: Orchestration) -> int | None:
    """When the earliest timer of the orchestration fires, or None."""
    if orchestration.is_terminal:
        return None
    held = HELD_WHILE_PAUSED if orchestration.paused else ()
    dues = [a.due_millis for a in orchestration.activities.values() if a.due_millis and a.status not in held]
    return min(dues, default=None)
