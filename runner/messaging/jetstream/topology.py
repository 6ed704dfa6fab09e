"""The streams, and how they are made: at once, by any number of processes at the same time, and only ever widened.

=================  ====================================  =========  ======================================================
stream             subjects                              retention  notes
=================  ====================================  =========  ======================================================
``<prefix>-log``   ``run.>``, ``response.>``, ``dead.>``  limits     never expires
``<prefix>-done``  ``done.>``                            limits     the archive: one message per subject; made when first
                                                                    written
``<prefix>-event``  ``event.>``                           work queue
``<prefix>-task``  ``task.>``                            work queue
``<prefix>-live``  ``live.>``                            limits     7 days, 256 MiB, oldest dropped; written lazily to disk
``<prefix>-blob``  ``blob.>``                            limits     made when first written
``KV_<prefix>-…``  ``$KV.<prefix>-….>``                  limits     one per bucket, made when first written; the nats
                                                                    command line shows it as a key-value bucket
=================  ====================================  =========  ======================================================

A stream that exists keeps its operator's settings (replicas, limits, placement); only missing subjects are added.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from runner.messaging.jetstream.link import Link, nanoseconds
from runner.messaging.jetstream.translation import STREAM_DIFFERS, translate_api
from runner.messaging.rules import ARCHIVE

_LIVE_AGE = timedelta(days=7)
_LIVE_BYTES = 256 * 1024 * 1024
_DEDUPE = timedelta(minutes=2)
_ASYNC_PERSISTENCE_SINCE = (2, 12)


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream as this installation wants it.

    Attributes:
        name: The stream's name.
        subjects: What it must capture.
        options: Further fields of its configuration, as the JetStream API names them.
    """

    name: str
    subjects: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of streams and subjects below one prefix."""

    prefix: str

    @property
    def base(self) -> str:
        """The prefix as part of a stream's name, which can't hold dots."""
        return self.prefix.replace("_", "__").replace(".", "_")

    @property
    def log(self) -> Stream:
        """The logs."""
        kinds = ("run", "response", "dead")
        return Stream(f"{self.base}-log", tuple(f"{self.prefix}.{kind}.>" for kind in kinds))

    @property
    def done(self) -> Stream:
        """The archive: what is below ``done`` is no part of the other logs' stream, which stays small and quick."""
        return Stream(f"{self.base}-done", (f"{self.prefix}.{ARCHIVE}.>",), {"max_msgs_per_subject": 1})

    @property
    def event(self) -> Stream:
        """The queue of events."""
        return Stream(f"{self.base}-event", (f"{self.prefix}.event.>",), {"retention": "workqueue"})

    @property
    def task(self) -> Stream:
        """The queue of tasks."""
        return Stream(f"{self.base}-task", (f"{self.prefix}.task.>",), {"retention": "workqueue"})

    @property
    def live(self) -> Stream:
        """The journal of live events."""
        options = {"max_age": nanoseconds(_LIVE_AGE), "max_bytes": _LIVE_BYTES, "persist_mode": "async"}
        return Stream(f"{self.base}-live", (f"{self.prefix}.live.>",), options)

    @property
    def blob(self) -> Stream:
        """The blobs."""
        return Stream(f"{self.base}-blob", (f"{self.prefix}.blob.>",), {"max_msgs_per_subject": 1})

    def bucket(self, bucket: str) -> Stream:
        """One document store."""
        name = f"{self.base}-{bucket}"
        options = {"max_msgs_per_subject": 1, "discard": "new", "allow_rollup_hdrs": True, "deny_delete": True}
        return Stream(f"KV_{name}", (f"$KV.{name}.>",), options)


class Topology:
    """Makes streams."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.names = Names(link.settings.prefix)

    async def ensure_main(self) -> None:
        """Make the four streams that every installation needs, all at the same time: each costs a disk flush."""
        names = self.names
        await asyncio.gather(*(self.ensure(stream) for stream in (names.log, names.event, names.task, names.live)))

    async def ensure(self, stream: Stream) -> None:
        """Make one stream, or widen the existing one; does nothing when this connection does not manage streams.

        Raises:
            Refused: A stream of that name or of these subjects belongs to somebody else.
            Unreachable: No answer, or no room on disk.
        """
        if not self._link.settings.manage:
            return
        doing = f"creating the stream {stream.name!r}"
        answer = await self._link.api(doing, f"STREAM.CREATE.{stream.name}", self._configuration(stream))
        error = answer.get("error")
        if error is None:
            return
        if error.get("err_code") != STREAM_DIFFERS:
            raise translate_api(error, doing)
        await self._widen(stream)

    async def _widen(self, stream: Stream) -> None:
        doing = f"updating the stream {stream.name!r}"
        answer = await self._link.api_or_raise(doing, f"STREAM.INFO.{stream.name}")
        existing = answer["config"]
        missing = [subject for subject in stream.subjects if subject not in existing.get("subjects", [])]
        if missing:
            existing["subjects"] = [*existing.get("subjects", []), *missing]
            await self._link.api_or_raise(doing, f"STREAM.UPDATE.{stream.name}", existing)

    def _configuration(self, stream: Stream) -> dict[str, Any]:
        replicas = self._link.settings.replicas
        options = dict(stream.options)
        version = self._link.client.connected_server_version
        if replicas > 1 or (version.major, version.minor) < _ASYNC_PERSISTENCE_SINCE:
            options.pop("persist_mode", None)
        return {
            "name": stream.name,
            "subjects": list(stream.subjects),
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "num_replicas": replicas,
            "duplicate_window": nanoseconds(_DEDUPE),
            "allow_direct": True,
            **options,
        }
