"""Messages that nobody can process, kept with their cause."""

import base64

import orjson

from runner.messaging.ports import Log
from runner.protocol.subjects import Subjects


class DeadLetters:
    """Appends to the dead letters."""

    def __init__(self, log: Log, subjects: Subjects) -> None:
        self._log = log
        self._subjects = subjects

    async def bury(self, kind: str, oid: str, subject: str, data: bytes, cause: str, now: int) -> None:
        """Keep ``data``, which stood in ``subject``, with its cause; ``kind`` is ``event`` or ``task``."""
        letter = {
            "v": 1,
            "kind": kind,
            "oid": oid,
            "subject": subject,
            "cause": cause,
            "atMillis": now,
            "data": base64.b64encode(data).decode(),
        }
        await self._log.append(self._subjects.dead(kind, oid or "unknown"), orjson.dumps(letter))
