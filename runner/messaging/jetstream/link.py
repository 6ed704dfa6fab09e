"""One connection to the servers: login, requests with retries, and the news of loss and return.

Nothing that is acknowledged is ever buffered while the connection is down: a call waits for the connection to return,
within its own time, and then sends. Answers that were outstanding when it was lost count as lost at once.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio.msg import Msg

from runner.errors import InvalidUsage, NeverRetry, Refused, Unreachable
from runner.messaging.jetstream.client import ReconnectingClient, listen
from runner.messaging.jetstream.settings import JetStreamSettings
from runner.messaging.jetstream.translation import LOGIN, PERMISSIONS, REACH, translate, translate_api

_log = structlog.get_logger(__name__)

MAX_SUBJECT_BYTES = 3000
"""The server closes a connection whose protocol line is longer than 4096 bytes: subject, reply subject and sizes."""

HEADROOM_BYTES = 4096
"""Kept of the server's ``max_payload`` for headers, which count towards it."""

_PING_SECONDS = 10
_RECONNECT_SECONDS = 0.2
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
_CLOSE_SECONDS = 2
_SHORT_SECONDS = 1.0  # Below it a request has a timer of its own.
_WATCH_SECONDS = 0.5
_DENIED = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)
_STATUS = "Status"


class Link:
    """A connection that comes back by itself.

    Args:
        settings: Where and as whom.
    """

    def __init__(self, settings: JetStreamSettings) -> None:
        self.settings = settings
        self._answer_seconds = settings.answer_timeout.total_seconds()
        self._call_seconds = settings.call_timeout.total_seconds()
        self.client = ReconnectingClient()
        self.losses = 0  # grows by one each time the connection is lost
        self.closed = False
        self._up = asyncio.Event()
        self._refused: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._last_error: BaseException | None = None
        self._waiting: dict[str, tuple[asyncio.Future[Msg], str, float]] = {}
        self._watching = False
        self._collectors: dict[str, Callable[[Msg | None], None]] = {}
        self._inbox = ""
        self._next = 0
        self._on_change: list[Callable[[], None]] = []

    # Connecting

    async def open(self) -> None:
        """Connect and listen for answers.

        Raises:
            Unreachable: No server within the connect timeout.
            Refused: The server does not take the login.
        """
        attempt = asyncio.ensure_future(self._connect())
        limit = self.settings.connect_timeout.total_seconds()
        try:
            waiting: set[asyncio.Future[Any]] = {attempt, self._refused}
            await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if attempt.done():
                await attempt
                return
        finally:
            if not self._up.is_set():
                attempt.cancel()
                await asyncio.wait({attempt})
                await self.client.close()
        if self._refused.done():
            raise self._refused.result()
        servers = ", ".join(_without_login(url) for url in self.settings.urls)
        reason = str(self._last_error or "no answer").removeprefix("nats: ")
        detail = f"connecting to NATS at {servers}: no connection within {limit:g} s ({reason})"
        raise Unreachable(detail, remedy=REACH)

    async def _connect(self) -> None:
        settings = self.settings
        login: dict[str, Any] = {
            "token": settings.token,
            "user": settings.user,
            "password": settings.password,
            "user_credentials": settings.credentials,
            "nkeys_seed": settings.nkey_seed,
            "tls": settings.tls,
            "tls_hostname": settings.tls_hostname,
        }
        try:
            await self.client.connect(
                list(settings.urls),
                name=settings.name,
                **{key: value for key, value in login.items() if value is not None},
                tls_handshake_first=settings.tls_first,
                inbox_prefix=settings.inbox_prefix,
                ping_interval=_PING_SECONDS,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type] # seconds, passed to asyncio.sleep
                pending_size=0,  # no buffering while the connection is down
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
            )
        except (OSError, nats.errors.Error) as error:
            raise translate(error, "connecting to NATS") from error
        self._inbox = self.client.new_inbox() + "."
        await listen(self.client, self._inbox + "*", self._on_answer)
        self._up.set()

    async def close(self) -> None:
        """Send what is still to be sent, and disconnect; idempotent."""
        if self.closed:
            return
        self.closed = True
        if self.client.is_connected:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await self.client.flush(timeout=_CLOSE_SECONDS)
        await self.client.close()
        self._fail_all(nats.errors.ConnectionClosedError())
        self._notify()

    # Callbacks of the client

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        self._last_error = error
        lower = text.lower()
        if "authorization" in lower or "authentication" in lower:
            if not self._up.is_set() and not self._refused.done() and not self.losses:
                self._refused.set_result(Refused(f"connecting to NATS: {text.removeprefix('nats: ')}", remedy=LOGIN))
        elif "permissions violation" in lower:
            _log.warning("permissions violation", error=text)
            self._fail_denied(text)
            return
        _log.debug("nats", error=text)

    async def _on_disconnected(self) -> None:
        self.losses += 1
        self._up.clear()
        self._fail_all(nats.errors.ConnectionReconnectingError())
        self._notify()

    async def _on_reconnected(self) -> None:
        _log.info("reconnected", server=self.client.connected_url and self.client.connected_url.netloc)
        self._up.set()
        self._notify()

    def on_change(self, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever the connection is lost, returns or is closed."""
        self._on_change.append(call)

    def off_change(self, call: Callable[[], None]) -> None:
        """The reverse of `on_change`."""
        self._on_change.remove(call)

    def _notify(self) -> None:
        for call in tuple(self._on_change):
            call()

    def _fail_all(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for future, _, _ in waiting.values():
            if not future.done():
                future.set_exception(error)
        collectors, self._collectors = self._collectors, {}
        for collect in collectors.values():
            collect(None)

    def _fail_denied(self, text: str) -> None:
        match = _DENIED.search(text)
        denied = match.group(1) if match else ""
        for future, subject, _ in tuple(self._waiting.values()):
            if subject.lower() == denied.lower() and not future.done():
                detail = f"the NATS server does not permit this user to publish to {subject!r}"
                future.set_exception(Refused(detail, remedy=PERMISSIONS))

    # Asking

    @property
    def is_up(self) -> bool:
        """Whether there is a connection right now."""
        return self._up.is_set() and self.client.is_connected

    @property
    def max_message_bytes(self) -> int:
        """The largest body the server takes, less the room for headers."""
        return self.client.max_payload - HEADROOM_BYTES

    async def wait_up(self, seconds: float) -> bool:
        """Wait until connected; False when it took longer, or the link is closed."""
        if self.is_up:
            return True
        if self.closed or seconds <= 0:
            return False
        # Not wait_for: in Python 3.11 it swallows a cancellation that arrives together with the result.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._up.wait()
        return self.is_up

    def check(self, doing: str, subject: str, data: bytes) -> None:
        """Raise NeverRetry when the server would close the connection over these."""
        if len(data) > self.max_message_bytes:
            detail = f"{doing} {subject!r}: {len(data)} bytes are more than the {self.max_message_bytes} the bus takes"
            raise NeverRetry(detail, remedy="send less, or raise max_payload of the NATS server")
        if len(subject) > MAX_SUBJECT_BYTES:
            detail = f"{doing} {subject[:60]!r}…: a subject of {len(subject)} bytes, the bus takes {MAX_SUBJECT_BYTES}"
            raise InvalidUsage(detail, remedy="use a shorter id")

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None, seconds: float) -> Msg:
        """One request, one answer, one try; raises what nats-py raises. A long limit may last half a second longer."""
        loop = asyncio.get_running_loop()
        self._next += 1
        token = str(self._next)
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = (future, subject, loop.time() + seconds)
        if seconds < _SHORT_SECONDS:
            loop.call_later(seconds, _expire, future)
        elif not self._watching:
            self._watching = True
            loop.call_later(_WATCH_SECONDS, self._expire_late)
        try:
            await self.client.publish(subject, data, self._inbox + token, headers)
            return await future
        finally:
            self._waiting.pop(token, None)

    def _expire_late(self) -> None:
        """Look through what waits, now and then: a timer for each request would be a tenth of its cost."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for future, _, end in tuple(self._waiting.values()):
            if end <= now:
                _expire(future)
        self._watching = bool(self._waiting)
        if self._watching:
            loop.call_later(_WATCH_SECONDS, self._expire_late)

    async def call(
        self, doing: str, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Ask, again and again within the call timeout, and return the JSON answer.

        Returns:
            The answer, which may hold an ``error``, and whether an earlier try may have had its effect already.

        Raises:
            Unreachable: No answer within the call timeout.
            Refused: This user may not publish there.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._call_seconds
        pause, repeated = _FIRST_PAUSE_SECONDS, False
        while True:
            failure: Exception
            try:
                if not self.is_up and not await self.wait_up(end - loop.time()):
                    raise nats.errors.ConnectionClosedError if self.closed else nats.errors.TimeoutError
                limit = min(self._answer_seconds, max(end - loop.time(), 0.01))
                answer = await self.ask(subject, data, headers, limit)
                return orjson.loads(answer.data), repeated
            except (nats.errors.NoRespondersError, nats.errors.OutboundBufferLimitError) as error:
                failure = error  # nothing was stored
            except (nats.errors.TimeoutError, nats.errors.ConnectionReconnectingError) as error:
                failure, repeated = error, True
            except nats.errors.Error as error:
                raise translate(error, f"{doing} {subject!r}") from error
            if loop.time() + pause >= end or self.closed:
                raise translate(failure, f"{doing} {subject!r}") from failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def api(self, doing: str, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the JetStream API; ``subject`` without ``$JS.API.``; the answer may hold an ``error``."""
        answer, _ = await self.call(doing, "$JS.API." + subject, b"" if body is None else orjson.dumps(body))
        return answer

    async def api_or_raise(self, doing: str, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the JetStream API and raise its error translated."""
        answer = await self.api(doing, subject, body)
        if "error" in answer:
            raise translate_api(answer["error"], doing)
        return answer

    async def collect(self, subject: str, data: bytes, into: Callable[[Msg | None], None]) -> Callable[[], None]:
        """Send one request with many answers: each is given to ``into``, None when the connection is lost.

        Returns:
            Call it when no more answers are wanted.
        """
        self._next += 1
        token = str(self._next)
        self._collectors[token] = into
        await self.client.publish(subject, data, reply=self._inbox + token)
        return lambda: self._collectors.pop(token, None) and None

    def _on_answer(self, message: Msg) -> None:
        token = message.subject[len(self._inbox) :]
        waiting = self._waiting.get(token)
        if waiting is None:
            if token in self._collectors:
                self._collectors[token](message)
            return
        future = waiting[0]
        if future.done():
            return
        if message.headers and message.headers.get(_STATUS) == "503" and not message.data:
            future.set_exception(nats.errors.NoRespondersError())
        else:
            future.set_result(message)

    async def send(self, subject: str, data: bytes, reply: str = "") -> bool:
        """Send without waiting for anything; False when there is no connection to send on."""
        try:
            await self.client.publish(subject, data, reply=reply)
        except (nats.errors.Error, OSError):
            return False
        return True


def _expire(future: "asyncio.Future[Msg]") -> None:
    if not future.done():
        future.set_exception(nats.errors.TimeoutError())


def _without_login(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]


def seconds(duration: timedelta) -> float:
    """A duration in seconds."""
    return duration.total_seconds()


def nanoseconds(duration: timedelta) -> int:
    """A duration as the JetStream API counts."""
    return int(duration / timedelta(microseconds=1)) * 1000
