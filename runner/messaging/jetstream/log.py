"""The log: one subject each, compare-and-set on the subject's last sequence.

The archive is in a stream of its own, so that what has ended long ago costs the running orchestrations nothing; that
stream is made by the first write.
"""

from runner.messaging.jetstream.link import Link
from runner.messaging.jetstream.publishing import EXPECTED, MESSAGE_ID, Conflict, Publisher
from runner.messaging.jetstream.reading import Stored, leader_last, read_all, read_page
from runner.messaging.jetstream.topology import Topology
from runner.messaging.jetstream.translation import translate_api
from runner.messaging.ports import Entry
from runner.messaging.rules import ARCHIVE, check_log_subject

_NO_MESSAGE = (10037, 10043)  # No message found; the sequence is gone.
_NOT_FOUND = 404


class JetStreamLog:
    """`runner.messaging.ports.Log` over two streams."""

    def __init__(self, link: Link, publisher: Publisher, topology: Topology) -> None:
        self._link = link
        self._publisher = publisher
        self._topology = topology
        self._prefix = link.settings.prefix
        self._archive = f"{self._prefix}.{ARCHIVE}"
        self._made = False

    async def append(self, subject: str, data: bytes, *, expected: int | None = None) -> int:
        """See the port."""
        check_log_subject(self._prefix, subject)
        headers = {MESSAGE_ID: self._publisher.new_id()} if expected is None else {EXPECTED: str(expected)}
        if not self._made and self._is_archive(subject):
            await self._topology.ensure(self._topology.names.done)
            self._made = True
        try:
            sequence, _ = await self._publisher.put("appending to", subject, data, headers)
        except Conflict:
            last = await self.last(subject)
            if last is None or last.data != data or last.sequence <= (expected or 0):
                raise
            return last.sequence  # an earlier try had succeeded, in this process or in one that died
        return sequence

    async def last(self, subject: str) -> Entry | None:
        """See the port."""
        stored = await leader_last(self._link, self._stream(subject), subject, f"reading the last entry of {subject!r}")
        return None if stored is None else _entry(stored)

    async def read(self, subject: str, *, start: int = 0) -> list[Entry]:
        """See the port."""
        return [
            _entry(stored)
            for stored in await read_all(self._link, self._stream(subject), subject, start, f"reading {subject!r}")
        ]

    async def subjects(self, prefix: str) -> dict[str, int]:
        """See the port."""
        return await subjects(self._link, self._stream(prefix), f"{prefix}.>")

    async def scan(self, pattern: str, *, start: int = 0, limit: int = 1024) -> list[Entry]:
        """See the port."""
        found = await read_page(self._link, self._stream(pattern), pattern, start, limit, f"reading {pattern!r}")
        return [_entry(stored) for stored in found]

    async def purge(self, subject: str, *, through: int | None = None) -> None:
        """See the port."""
        await purge(self._link, self._stream(subject), subject, through)

    async def remove(self, subject: str, sequence: int) -> None:
        """See the port."""
        doing = f"removing entry {sequence} of {subject!r}"
        answer = await self._link.api(doing, f"STREAM.MSG.DELETE.{self._stream(subject)}", {"seq": sequence})
        error = answer.get("error")
        if error is not None and error.get("err_code") not in _NO_MESSAGE and error.get("code") != _NOT_FOUND:
            raise translate_api(error, doing)

    def _is_archive(self, subject: str) -> bool:
        return subject == self._archive or subject.startswith(self._archive + ".")

    def _stream(self, subject: str) -> str:
        names = self._topology.names
        return (names.done if self._is_archive(subject) else names.log).name


def _entry(stored: Stored) -> Entry:
    return Entry(stored.subject, stored.sequence, stored.data, stored.at)


async def subjects(link: Link, stream: str, pattern: str) -> dict[str, int]:
    """Every subject of a stream that matches, with its number of messages; empty when there is no such stream."""
    found: dict[str, int] = {}
    doing = f"listing the subjects {pattern!r}"
    while True:
        body = {"subjects_filter": pattern, "offset": len(found)}
        answer = await link.api(doing, f"STREAM.INFO.{stream}", body)
        if "error" in answer:
            if answer["error"].get("code") == 404:  # noqa: PLR2004 - the server's "not found"
                return {}
            raise translate_api(answer["error"], doing)
        page = answer["state"].get("subjects") or {}
        found |= page
        if not page or len(found) >= answer.get("total", 0):
            return found


async def purge(link: Link, stream: str, subject: str, through: int | None = None) -> None:
    """Remove every message of a subject up to a sequence; a stream that does not exist has none."""
    doing = f"purging {subject!r}"
    body = {"filter": subject} if through is None else {"filter": subject, "seq": through + 1}
    answer = await link.api(doing, f"STREAM.PURGE.{stream}", body)
    error = answer.get("error")
    if error is not None and error.get("code") != 404:  # noqa: PLR2004 - the server's "not found"
        raise translate_api(error, doing)
