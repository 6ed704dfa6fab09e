"""Runs one delivery of one activity: from the task to the result. Knows nothing of queues."""

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from runner.activity import (
    ActivityContext,
    ActivityDetails,
    ActivityProcessor,
    ActivityResult,
    ContextChanges,
    ResultType,
    Stopping,
    StopReason,
)
from runner.errors import Retry, TierformError
from runner.executor.providers import Providers
from runner.model.schema import violations
from runner.protocol.messages import Task

_log = structlog.get_logger("agent")


class Secrets(Protocol):
    """What an execution needs of the secret store."""

    async def reveal(self, value: Any, *, owner: str) -> tuple[Any, list[Any]]:
        """The value with every reference replaced by its secret, and the secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """How a delivery ended.

    Attributes:
        result: The processor's, or what stands for it.
        changes: What it did to the context.
        handed_back: The processor was interrupted by the agent's own shutdown: the task goes on elsewhere.
    """

    result: ActivityResult
    changes: ContextChanges = field(
        default_factory=lambda: ContextChanges({}, frozenset(), {}, frozenset(), frozenset())
    )
    handed_back: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a running processor's words go; called from any thread."""

    progress: Callable[[str], None]


async def execute(
    task: Task,
    delivery: int,
    providers: Providers,
    secrets: Secrets,
    stopping: Stopping,
    watch: Watch,
    grace: timedelta,
) -> Finished:
    """Run the task's processor and say how it ended; raises only when cancelled itself."""
    alive = _SignsOfLife(task, stopping)
    try:
        processor = await providers.processor(task.provider)
        context = await _context(task, delivery, processor, secrets, stopping, watch, alive)
        alive.watch()
        result = await _supervised(processor, context, task, grace)
        if alive.silent and result.type is ResultType.RETRY_ERROR:
            result = ActivityResult.retry(f"no sign of life for {task.heartbeat_timeout_millis} ms: {result.error}")
    except TierformError as error:
        return Finished(_failure(error))
    except Exception as error:  # noqa: BLE001 - The edge of the agent: a processor's defect is its activity's fatal error.
        _log.exception("a processor raised", oid=task.oid, activity=task.activity, provider=task.provider)
        return Finished(ActivityResult.fatal(f"the processor raised {type(error).__name__}: {error}"))
    finally:
        alive.close()
    handed_back = stopping.reason is StopReason.DRAIN and result.type not in _FINAL
    return Finished(result, context.changes(), handed_back=handed_back)


_FINAL = (ActivityResult.complete().type, ActivityResult.fatal("x").type, ActivityResult.wait().type)


class _SignsOfLife:
    """Stops a processor that gives no sign of life for its ``heartbeatTimeoutMillis``; None never does."""

    def __init__(self, task: Task, stopping: Stopping) -> None:
        self._seconds = task.heartbeat_timeout_millis / 1000 if task.heartbeat_timeout_millis else None
        self._stopping = stopping
        self._last = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self.silent = False

    def heard(self, details: Any) -> None:
        """A sign of life, from any thread."""
        del details
        self._last = time.monotonic()

    def watch(self) -> None:
        """Look now, and again when the time would be over."""
        if self._seconds is None:
            return
        left = self._last + self._seconds - time.monotonic()
        if left <= 0:
            self.silent = True
            self._stopping.request(StopReason.TIMEOUT)
        else:
            self._timer = asyncio.get_running_loop().call_later(left, self.watch)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


async def _context(
    task: Task,
    delivery: int,
    processor: ActivityProcessor,
    secrets: Secrets,
    stopping: Stopping,
    watch: Watch,
    alive: _SignsOfLife,
) -> ActivityContext:
    inputs, _ = await secrets.reveal(task.inputs, owner=task.oid)
    values, _ = await secrets.reveal(task.values, owner=task.oid)
    outputs, _ = await secrets.reveal(task.outputs, owner=task.oid)
    secret_inputs = frozenset(name for name in task.inputs if inputs.get(name) != task.inputs[name])

    def context(inputs: Mapping[str, Any], secret_inputs: frozenset[str]) -> ActivityContext:
        return ActivityContext(
            _details(task, delivery),
            inputs=inputs,
            values=values,
            outputs=outputs,
            secret_inputs=secret_inputs,
            stopping=stopping,
            on_progress=watch.progress,
            on_heartbeat=alive.heard,
        )

    made = context(inputs, secret_inputs)
    last_inputs = getattr(processor, "last_inputs", None)
    known = await last_inputs(made) if last_inputs is not None else ({}, frozenset())
    if known is None:
        return made
    last, last_secrets = known
    if last:
        made = context({**last, **inputs}, secret_inputs | (last_secrets - inputs.keys()))
    _check_inputs(task, made)
    return made


def _details(task: Task, delivery: int) -> ActivityDetails:
    deadline = None
    if task.timeout_millis is not None:
        deadline = datetime.now(UTC) + timedelta(milliseconds=task.timeout_millis)
    return ActivityDetails(
        oid=task.oid,
        generation=task.generation,
        correlation_id=task.correlation_id,
        orchestration_type=task.orchestration_type,
        id=task.id or task.activity,
        type=task.type,
        discriminator=task.discriminator,
        provider=task.provider,
        config=task.config,
        modules=task.modules,
        attempt=task.attempt,
        delivery=delivery,
        polls=task.polls,
        deadline=deadline,
        completion_token=task.token,
        last_heartbeat=task.heartbeat,
        input_schema=_object(task.input_schema),
        output_schema=_object(task.output_schema),
    )


def _object(schema: Mapping[str, Any] | bool | None) -> Mapping[str, Any] | None:
    return schema if isinstance(schema, Mapping) else None


def _check_inputs(task: Task, context: ActivityContext) -> None:
    if not task.input_schema:
        return
    problems = violations(task.input_schema, dict(context.inputs))
    if problems:
        listed = "; ".join(str(problem) for problem in problems)
        raise _InputsInvalidError(f"its inputs violate the input schema of '{task.type}': {listed}")


class _InputsInvalidError(TierformError):
    code = "invalid_input"


def _failure(error: TierformError) -> ActivityResult:
    return ActivityResult.retry(error) if isinstance(error, Retry) else ActivityResult.fatal(error)


async def _supervised(
    processor: ActivityProcessor, context: ActivityContext, task: Task, grace: timedelta
) -> ActivityResult:
    """The processor's result; when it is asked to stop and does not within the grace, it is abandoned."""
    run = asyncio.ensure_future(_call(processor, context))
    ended_or_stopped = asyncio.Event()
    run.add_done_callback(lambda _: ended_or_stopped.set())
    context.stopping.on_request(ended_or_stopped.set)
    timer = _deadline_timer(context, task)
    try:
        await ended_or_stopped.wait()
        if not run.done():
            await asyncio.wait({run}, timeout=grace.total_seconds())
        if not run.done():
            run.cancel()
            return _abandoned(context, grace)
        return _checked(run.result(), context)
    finally:
        if timer is not None:
            timer.cancel()
        if not run.done():
            run.cancel()


def _deadline_timer(context: ActivityContext, task: Task) -> asyncio.TimerHandle | None:
    if task.timeout_millis is None:
        return None
    loop = asyncio.get_running_loop()
    return loop.call_later(task.timeout_millis / 1000, context.stopping.request, StopReason.TIMEOUT)


async def _call(processor: ActivityProcessor, context: ActivityContext) -> ActivityResult:
    if inspect.iscoroutinefunction(processor.process):
        answer = await processor.process(context)
    else:
        answer = await asyncio.to_thread(processor.process, context)
        if inspect.isawaitable(answer):
            answer = await answer
    if not isinstance(answer, ActivityResult):
        return ActivityResult.fatal(f"the processor returned {type(answer).__name__} instead of an ActivityResult")
    return answer


def _checked(result: ActivityResult, context: ActivityContext) -> ActivityResult:
    """A processor that stopped at its deadline without an answer of its own has timed out."""
    if context.stopping.reason is StopReason.TIMEOUT and result.type not in _FINAL:
        text = f"the attempt timed out at {_time(context)}"
        return ActivityResult.retry(f"{text}: {result.error}" if result.error else text)
    return result


def _abandoned(context: ActivityContext, grace: timedelta) -> ActivityResult:
    seconds = grace.total_seconds()
    if context.stopping.reason is StopReason.TIMEOUT:
        return ActivityResult.retry(
            f"the attempt timed out at {_time(context)} and its processor did not stop within {seconds:g} s; abandoned"
        )
    return ActivityResult.retry(f"the processor did not stop within {seconds:g} s; abandoned")


def _time(context: ActivityContext) -> str:
    return context.deadline.isoformat(timespec="seconds") if context.deadline else "its deadline"
