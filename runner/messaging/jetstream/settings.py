"""Where the server is, how to log in, and how long to wait."""

import ssl
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class JetStreamSettings:
    """One connection's settings; nothing is read from the environment here.

    Attributes:
        urls: ``nats://host:4222``, ``tls://…``; several of one cluster may be given.
        token: Token authentication.
        user: User name, with ``password``.
        password: See ``user``.
        credentials: Path of a ``.creds`` file (JWT and seed).
        nkey_seed: Path of a file with an nkey seed.
        tls: Used for ``tls://`` and for servers that require TLS.
        tls_hostname: The name the server's certificate must have, when it is not the URL's.
        tls_first: Shake hands before the server's greeting.
        inbox_prefix: First token(s) of reply subjects, for accounts that may subscribe to these only.
        prefix: First token(s) of every subject and of every stream's name.
        name: Shown in the server's list of connections.
        replicas: Of each stream that this connection creates; existing streams keep theirs.
        manage: Whether streams, buckets and consumers are created and widened. An agent with few permissions leaves
            that to the engine.
        connect_timeout: How long `connect` tries.
        answer_timeout: How long one try of an acknowledged call waits for its answer.
        call_timeout: How long an acknowledged call is repeated before it raises `runner.errors.Unreachable`.
    """

    urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials: str | None = None
    nkey_seed: str | None = None
    tls: ssl.SSLContext | None = None
    tls_hostname: str | None = None
    tls_first: bool = False
    inbox_prefix: str = "_INBOX"
    prefix: str = "tierform"
    name: str = "tierform"
    replicas: int = 1
    manage: bool = True
    connect_timeout: timedelta = timedelta(seconds=5)
    answer_timeout: timedelta = timedelta(seconds=5)
    call_timeout: timedelta = timedelta(seconds=15)
