"""Fixtures of the whole suite."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("runner.testing.contracts")

from nats_server import NatsServer  # noqa: E402 - tests/support is on the path; rewriting is registered first


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the session: give every test a subject prefix of its own."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()
