"""The definitions that the durable figures run, and the client that submits them and waits for their responses."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runner.interpreter.compiling import compile_bundle
from runner.interpreter.plans import BUCKET, Plans
from runner.messaging.jetstream import JetStreamMessaging, JetStreamSettings, connect
from runner.messaging.ports import Subscription
from runner.model.bundle import Bundle
from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.definitions import DefinitionSet
from runner.protocol.messages import VERSION, ManifestEvent, Response, decode, encode
from runner.protocol.subjects import Subjects

ACTIVITY = "noop.example.com"
WIDTH = 1_000
_LATE_SECONDS = 300


def _orchestration(type_: str, *activities: dict[str, Any]) -> OrchestrationDefinition:
    return OrchestrationDefinition.model_validate({"type": type_, "active": True, "activities": list(activities)})


def _activity(name: str, *needs: str, discriminator: str = "") -> dict[str, Any]:
    return {
        "id": name,
        "type": ACTIVITY,
        "discriminator": discriminator,
        "dependsOn": list(needs),
        "inputs": ["tenantId"],
    }


DEFINITIONS = DefinitionSet.of(
    ActivityDefinition.model_validate({"type": ACTIVITY, "provider": "noop"}),
    _orchestration(
        "diamond",
        _activity("first"),
        *(_activity(name, "first") for name in ("left", "middle", "right")),
        _activity("last", "left", "middle", "right"),
    ),
    _orchestration("wide", *(_activity(f"one-{number}") for number in range(WIDTH))),
    _orchestration("single", _activity("only")),
    _orchestration("parked", _activity("only", discriminator="wait")),
)


class Client:
    """Submits orchestrations and hears of their ends."""

    def __init__(self, messaging: JetStreamMessaging, subjects: Subjects, responses: Subscription) -> None:
        self._messaging = messaging
        self._subjects = subjects
        self._responses = responses
        self._plans = Plans(messaging.blobs, messaging.documents(BUCKET), compile_bundle)
        self._bundles: dict[str, str] = {}
        self._ended: dict[str, asyncio.Future[float]] = {}

    async def register(self) -> None:
        """Publish the definitions."""
        for type_ in DEFINITIONS.orchestrations:
            self._bundles[type_] = await self._plans.publish(type_, Bundle.compile(DEFINITIONS, type_).to_bytes())

    async def listen(self) -> None:
        """Note the ends, for ever."""
        async for message in self._responses:
            response = decode(Response, message.data)
            waiting = self._ended.pop(response.manifest_id, None)
            if waiting is not None and not waiting.done():
                assert response.success == (response.state == 2), response
                waiting.set_result(time.perf_counter())

    async def submit(self, type_: str) -> "asyncio.Future[float]":
        """Start one orchestration; the future gives the time at which its response was heard."""
        oid = uuid.uuid4().hex
        ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._ended[oid] = ended
        event = ManifestEvent(
            v=VERSION,
            event_id=oid,
            oid=oid,
            orchestration_type=type_,
            correlation_id=oid,
            payload={"tenantId": oid},
            bundle=self._bundles[type_],
        )
        await self._messaging.queue.publish(self._subjects.event(oid), encode(event), message_id=oid)
        return ended

    async def run(self, type_: str, count: int, in_flight: int) -> float:
        """Seconds that so many orchestrations take with so many at once."""
        left = count
        began = time.perf_counter()

        async def lane() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await (await self.submit(type_))

        async with asyncio.timeout(_LATE_SECONDS + count / 50):
            await asyncio.gather(*(lane() for _ in range(min(in_flight, count))))
        return time.perf_counter() - began

    async def latencies(self, type_: str, rounds: int) -> list[float]:
        """Seconds from submission to response of one orchestration at a time."""
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            found.append(await (await self.submit(type_)) - began)
        return found

    async def park(self, count: int, in_flight: int) -> None:
        """Start orchestrations that wait for ever; returns when the log says of each that it waits."""
        records = await self._messaging.feed.subscribe(f"{self._subjects.prefix}.run.*")
        listener = aiter(records)
        submissions: set[asyncio.Task[Any]] = set()
        waiting = 0
        async with asyncio.timeout(_LATE_SECONDS + count / 50):
            while waiting < count:
                while len(submissions) < min(count, waiting + in_flight):
                    submissions.add(asyncio.create_task(self.submit("parked")))
                record = await anext(listener)
                waiting += record.data.count(b'"waiting"')
        await records.close()
        await asyncio.gather(*submissions)
        self._ended.clear()


@asynccontextmanager
async def client(url: str, token: str, prefix: str) -> AsyncIterator[Client]:
    """A connected client with the definitions registered."""
    messaging = await connect(JetStreamSettings(urls=(url,), token=token, prefix=prefix))
    responses = await messaging.feed.subscribe(f"{prefix}.response.>")
    found = Client(messaging, Subjects(prefix=prefix), responses)
    listener = asyncio.create_task(found.listen())
    try:
        await found.register()
        yield found
    finally:
        listener.cancel()
        await messaging.close()
