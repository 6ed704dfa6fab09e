"""What an agent tells the engine: how deliveries ended, and which it claims."""

import asyncio
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Protocol

import msgspec

from runner.activity import ActivityResult, Masker, ResultType
from runner.errors import NeverRetry, Unreachable
from runner.executor.execution import Finished
from runner.executor.execution import Secrets as Reveals
from runner.messaging.large import Large
from runner.messaging.persistence import until_taken
from runner.messaging.ports import Messaging, Subscription
from runner.protocol.messages import VERSION, Answer, ClaimEvent, ReportEvent, Task, decode, encode
from runner.protocol.subjects import Subjects


class Secrets(Reveals, Protocol):
    """What an agent needs of the secret store."""

    async def conceal_outputs(
        self, values: dict[str, Any], names: Iterable[str], schema: Any, owner: str
    ) -> dict[str, Any]:
        """The values with the named ones, and those the schema marks sensitive, replaced by references."""
        ...


class Reporter:
    """Publishes reports and claims.

    Args:
        messaging: The bus.
        subjects: Names.
        secrets: Conceals outputs.
        masker: Hides secrets in errors.
        agent: The agent's name.
    """

    def __init__(self, messaging: Messaging, subjects: Subjects, secrets: Secrets, masker: Masker, agent: str) -> None:
        self._messaging = messaging
        self._subjects = subjects
        self._secrets = secrets
        self._masker = masker
        self._agent = agent
        self._large = Large(messaging)

    async def report(self, task: Task, delivery: int, finished: Finished, started: int) -> None:
        """Publish how a delivery ended; what cannot be reported as it is becomes a fatal error that says why."""
        try:
            event = await self._event(task, delivery, finished, started)
            await self._send(event, encode(event))
        except NeverRetry as error:
            await self._report_failure(task, delivery, started, f"its result could not be reported: {error}")
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            await self._report_failure(task, delivery, started, f"what the processor set is not JSON: {error}")

    async def _report_failure(self, task: Task, delivery: int, started: int, error: str) -> None:
        event = await self._event(task, delivery, Finished(ActivityResult.fatal(error)), started)
        await self._send(event, encode(event))

    async def _send(self, event: ReportEvent, whole: bytes) -> None:
        """Publish a report until the bus takes it; raises NeverRetry when it is too large for good."""
        subject = self._subjects.event(event.oid)

        async def publish() -> None:
            data = whole if self._large.fits(whole) else await self._large.wrap(whole, "reporting")
            await self._messaging.queue.publish(subject, data, message_id=event.event_id)

        await until_taken(publish)

    async def _event(self, task: Task, delivery: int, finished: Finished, started: int) -> ReportEvent:
        changes, result = finished.changes, finished.result
        kept = result.type is not ResultType.FATAL_ERROR
        outputs = dict(changes.outputs) if kept else {}
        values = dict(changes.set) if kept else {}
        schema, owner = task.output_schema, task.oid
        return ReportEvent(
            v=VERSION,
            event_id=f"{task.oid}/{task.generation}/{task.activity}/{task.lease}/{delivery}/{self._agent}",
            oid=task.oid,
            generation=task.generation,
            activity=task.activity,
            attempt=task.attempt,
            lease=task.lease,
            delivery=delivery,
            agent=self._agent,
            result=int(result.type),  # type: ignore[arg-type] # One of the five.
            delay_millis=_millis(result.delay),
            error=self._masker.mask(result.error),
            set=await self._secrets.conceal_outputs(values, changes.sensitive_values, None, owner),
            deleted=sorted(changes.deleted) if kept else [],
            outputs=await self._secrets.conceal_outputs(outputs, changes.sensitive_outputs, schema, owner),
            started_millis=started,
            existing=changes.existing,
            heartbeat=changes.heartbeat,
        )

    async def claim(self, task: Task, delivery: int, timeout: timedelta) -> Answer:  # noqa: ASYNC109 - the protocol's
        """Ask the engine, behind every report already sent, whether this lease is still to be run.

        Raises:
            Unreachable: No engine answered in time.
        """
        reply = f"{self._subjects.prefix}.answer.{uuid.uuid4().hex}"
        answers = await self._messaging.feed.subscribe(reply)
        try:
            await self.send_claim(task, delivery, reply)
            async with asyncio.timeout(timeout.total_seconds()):
                return await _first_answer(answers)
        except TimeoutError as error:
            raise Unreachable(
                f"claiming activity '{task.activity}' of orchestration '{task.oid}': no engine answered"
            ) from error
        finally:
            await answers.close()

    async def send_claim(self, task: Task, delivery: int, reply: str = "") -> None:
        """Say that this delivery is being run, without waiting for an answer."""
        claim = ClaimEvent(
            v=VERSION,
            event_id=uuid.uuid4().hex,
            oid=task.oid,
            generation=task.generation,
            activity=task.activity,
            attempt=task.attempt,
            lease=task.lease,
            delivery=delivery,
            agent=self._agent,
            reply=reply,
        )
        await self._messaging.queue.publish(self._subjects.event(task.oid), encode(claim))


async def _first_answer(answers: Subscription) -> Answer:
    async for message in answers:
        return decode(Answer, message.data)
    raise Unreachable("waiting for an engine's answer: the connection was closed")


def _millis(delay: timedelta) -> int:
    return round(delay.total_seconds() * 1000)
