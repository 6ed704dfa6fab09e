"""Reading stored messages so that one sees what one wrote.

A *leader get* (``STREAM.MSG.GET``) is answered by the stream's leader, which has every acknowledged message, but one
message per request. A *batch direct get* (``DIRECT.GET`` with ``batch``, server 2.11) streams many in one request, but
may be answered by a replica that lags behind. `read_all` sends both at the same time, the leader get for the last
message of the subject, and trusts the batch only when it reaches that message; a replica that holds it holds all before
it. Otherwise, and on servers before 2.11, it goes on with leader gets.
"""

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats.errors
import orjson
from nats.aio.msg import Msg

from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.translation import NO_MESSAGE, NO_STREAM, translate_api

_BATCH = 1024
_BATCH_BYTES = 4 * 1024 * 1024  # The server drops a client whose output buffer grows beyond its limit.
_END_OF_BATCH = "204"


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored message."""

    subject: str
    sequence: int
    data: bytes
    at: datetime
    headers: dict[str, str]


def _instant(text: str) -> datetime:
    """RFC 3339 with nanoseconds, which `datetime` can't hold."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}").replace(tzinfo=UTC)


def _from_api(message: dict[str, Any]) -> Stored:
    headers = {}
    if "hdrs" in message:
        lines = base64.b64decode(message["hdrs"]).decode().split("\r\n")[1:]
        headers = {key: value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
    data = base64.b64decode(message.get("data", ""))
    return Stored(message["subject"], message["seq"], data, _instant(message["time"]), headers)


def _from_direct(message: Msg) -> Stored:
    headers = dict(message.headers or {})
    subject, sequence = headers["Nats-Subject"], int(headers["Nats-Sequence"])
    return Stored(subject, sequence, message.data, _instant(headers["Nats-Time-Stamp"]), headers)


async def leader_get(link: Link, stream: str, what: dict[str, Any], doing: str) -> Stored | None:
    """One message from the leader; None when there is none, or no such stream."""
    answer = await link.api(doing, f"STREAM.MSG.GET.{stream}", what)
    error = answer.get("error")
    if error is None:
        return _from_api(answer["message"])
    if error.get("err_code") in {NO_MESSAGE, NO_STREAM}:
        return None
    raise translate_api(error, doing)


async def leader_last(link: Link, stream: str, subject: str, doing: str) -> Stored | None:
    """The subject's newest message."""
    return await leader_get(link, stream, {"last_by_subj": subject}, doing)


async def read_all(link: Link, stream: str, subject: str, start: int, doing: str) -> list[Stored]:
    """All messages of a subject (wildcards allowed) from a sequence on, oldest first; see the module for how."""
    last, found = await asyncio.gather(
        leader_last(link, stream, subject, doing), _direct_from(link, stream, subject, max(start, 1))
    )
    if last is None or last.sequence < start:
        return []
    while not found or found[-1].sequence < last.sequence:
        after = found[-1].sequence + 1 if found else max(start, 1)
        more = await leader_get(link, stream, {"seq": after, "next_by_subj": subject}, doing)
        if more is None:
            break  # removed meanwhile
        found.append(more)
    return found


async def read_page(link: Link, stream: str, pattern: str, start: int, limit: int, doing: str) -> list[Stored]:
    """Messages of the subjects that match from a sequence on, about so many; none when the leader has no more.

    A short page ends with a leader get for what comes after it, so that what a replica lags behind is not left out.
    """
    found: list[Stored] = []
    start, pending = max(start, 1), 1
    while pending and len(found) < limit:
        try:
            page, pending = await _direct_page(link, stream, pattern, start, limit - len(found))
        except (nats.errors.Error, OSError):
            page, pending = [], 0
        found += page
        start = page[-1].sequence + 1 if page else start
        pending = pending if page else 0
    if len(found) < limit:
        more = await leader_get(link, stream, {"seq": start, "next_by_subj": pattern}, doing)
        found += [more] if more is not None else []
    return found


async def _direct_from(link: Link, stream: str, subject: str, start: int) -> list[Stored]:
    found: list[Stored] = []
    while True:
        try:
            page, pending = await _direct_page(link, stream, subject, start)
        except (nats.errors.Error, OSError):
            return found  # the leader gets go on, with their own retries
        found += page
        if not pending or not page:
            return found
        start = page[-1].sequence + 1


async def _direct_page(
    link: Link, stream: str, subject: str, start: int, batch: int = _BATCH
) -> tuple[list[Stored], int]:
    answers: asyncio.Queue[Msg | None] = asyncio.Queue()
    body = {"seq": start, "next_by_subj": subject, "batch": batch, "max_bytes": _BATCH_BYTES}
    stop = await link.collect(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(body), answers.put_nowait)
    page: list[Stored] = []
    try:
        while True:
            async with asyncio.timeout(link.settings.answer_timeout.total_seconds()):
                answer = await answers.get()
            if answer is None:
                return page, 0
            headers = answer.headers or {}
            if headers.get("Status") is not None:
                return page, int(headers.get("Nats-Num-Pending", 0)) if headers["Status"] == _END_OF_BATCH else 0
            page.append(_from_direct(answer))
            if "Nats-Num-Pending" not in headers:
                return page, 0  # a server before 2.11 answers with one message
    except TimeoutError as error:
        raise nats.errors.TimeoutError from error
    finally:
        stop()
