"""Both adapters pass the one contract suite."""

import asyncio
import itertools

import pytest
from nats_server import NatsServer

from runner.messaging.jetstream import JetStreamMessaging, JetStreamSettings, connect
from runner.messaging.memory import MemoryBus, MemoryMessaging
from runner.testing.contracts.messaging import DurabilityContract, MessagingContract

_numbers = itertools.count(1)


class MemoryBackend:
    prefix = "test"

    def __init__(self):
        self._bus = MemoryBus(prefix=self.prefix)
        self._connections: list[MemoryMessaging] = []

    async def connect(self):
        self._connections.append(self._bus.connect())
        return self._connections[-1]

    async def close(self):
        for connection in self._connections:
            await connection.close()


class JetStreamBackend:
    def __init__(self, server: NatsServer):
        self._server = server
        self.prefix = f"test{next(_numbers)}"
        self._connections: list[JetStreamMessaging] = []

    async def connect(self):
        settings = JetStreamSettings(urls=(self._server.url,), token=self._server.token, prefix=self.prefix)
        self._connections.append(await connect(settings))
        return self._connections[-1]

    async def close(self):
        for connection in self._connections:
            await connection.close()

    async def kill(self):
        await asyncio.to_thread(self._server.kill)

    async def start(self):
        await self._server.restart()


class TestMemory(MessagingContract):
    @pytest.fixture
    async def backend(self):
        backend = MemoryBackend()
        yield backend
        await backend.close()


class TestJetStream(MessagingContract):
    @pytest.fixture
    async def backend(self, nats_server):
        backend = JetStreamBackend(nats_server)
        yield backend
        await backend.close()


class TestJetStreamDurability(DurabilityContract):
    @pytest.fixture
    async def backend(self, tmp_path):
        server = NatsServer(tmp_path, sync_always=True)
        server.start()
        backend = JetStreamBackend(server)
        yield backend
        await backend.close()
        server.stop()
