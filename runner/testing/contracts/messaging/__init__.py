"""The contract of `runner.messaging.ports` as tests.

A backend's author writes::

    from runner.testing.contracts.messaging import MessagingContract

    @pytest.fixture
    async def backend():
        async with my_backend() as backend:   # a Backend, see below
            yield backend

    class TestMine(MessagingContract):
        pass

and adds `DurabilityContract` when the backend's server can be killed and started again. The tests are coroutines; run
them with pytest-asyncio in its automatic mode, and call ``pytest.register_assert_rewrite`` for this package to see
values in failures.
"""

from runner.testing.contracts.messaging.backend import Backend, RestartableBackend, fetch_all, until
from runner.testing.contracts.messaging.durability import DurabilityContract
from runner.testing.contracts.messaging.feed import FeedContract
from runner.testing.contracts.messaging.keeping import KeepingContract
from runner.testing.contracts.messaging.log import LogContract
from runner.testing.contracts.messaging.queue import QueueContract
from runner.testing.contracts.messaging.stores import StoresContract


class MessagingContract(LogContract, QueueContract, StoresContract, FeedContract, KeepingContract):
    """Everything that holds on every bus."""


__all__ = [
    "Backend",
    "DurabilityContract",
    "FeedContract",
    "KeepingContract",
    "LogContract",
    "MessagingContract",
    "QueueContract",
    "RestartableBackend",
    "StoresContract",
    "fetch_all",
    "until",
]
