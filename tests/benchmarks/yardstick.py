"""What JetStream itself allows one Python process: the unit in which the durable figures are given.

Per activity two acknowledged publishes and two fetch-and-acknowledge on work-queue streams, 200-byte bodies. The rate is
taken with 64 in flight, the latency with one after the other.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import orjson
import uvloop
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext

IN_FLIGHT = 64
_BODY = b"x" * 200
_STREAMS = ("yardstick-event", "yardstick-task")
_WARM_UP = 10


class Yardstick:
    """One connection with its two work queues."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bus: JetStreamContext = client.jetstream()
        self._queues: list[Any] = []

    async def prepare(self) -> None:
        """Make both streams and their consumers."""
        for name in _STREAMS:
            await self._bus.add_stream(
                StreamConfig(name=name, subjects=[name], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE)
            )
            config = ConsumerConfig(max_ack_pending=-1)
            self._queues.append(await self._bus.pull_subscribe(name, durable=name, config=config))

    async def remove(self) -> None:
        """Leave nothing on the server."""
        for name in _STREAMS:
            await self._bus.delete_stream(name)

    async def rate(self, seconds: float) -> tuple[float, float]:
        """Activities a second with 64 in flight, and CPU seconds of this process for each."""
        for _ in range(_WARM_UP):
            await self._batch()
        done, began, spent = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            await self._batch()
            done += IN_FLIGHT
        return done / (time.perf_counter() - began), (time.process_time() - spent) / done

    async def _batch(self) -> None:
        for name, queue in zip(_STREAMS, self._queues, strict=True):
            acknowledged = [await self._bus.publish_async(name, _BODY) for _ in range(IN_FLIGHT)]
            await asyncio.gather(*acknowledged)
            fetched = 0
            while fetched < IN_FLIGHT:
                messages = await queue.fetch(IN_FLIGHT - fetched, timeout=5)
                for message in messages:
                    await message.ack()
                fetched += len(messages)

    async def latency(self, rounds: int) -> list[float]:
        """Seconds of two publishes and two fetches in sequence, one figure a round."""
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            for name, queue in zip(_STREAMS, self._queues, strict=True):
                await self._bus.publish(name, _BODY)
                (message,) = await queue.fetch(1, timeout=5)
                await message.ack()
            found.append(time.perf_counter() - began)
        return found


async def _measured(url: str, token: str, measure: Callable[[Yardstick], Awaitable[Any]]) -> Any:
    client = await nats.connect(url, token=token)
    yardstick = Yardstick(client)
    try:
        await yardstick.prepare()
        found = await measure(yardstick)
        await yardstick.remove()
    finally:
        await client.close()
    return found


def main() -> None:
    """Measure one of the two and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--rate-seconds", type=float, default=0)
    parser.add_argument("--latency-rounds", type=int, default=0)
    options = parser.parse_args()

    async def measure(yardstick: Yardstick) -> dict[str, Any]:
        return {
            "rate": await yardstick.rate(options.rate_seconds) if options.rate_seconds else (0, 0),
            "latency": await yardstick.latency(options.latency_rounds) if options.latency_rounds else [],
        }

    sys.stdout.buffer.write(orjson.dumps(uvloop.run(_measured(options.url, options.token, measure))))


if __name__ == "__main__":
    main()
