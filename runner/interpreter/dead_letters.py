"""Messages that nobody can process, kept with their cause."""

import base64

import orjson

from runner.messaging.ports import Messaging
from runner.protocol.subjects import Subjects


class DeadLetters:
    """Appends to the dead letters."""

    def __init__(self, messaging: Messaging, subjects: Subjects) -> None:
        self._log = messaging.log
        self._subjects = subjects

    async def bury(self, kind: str, oid: str, data: bytes, cause: str, now: int) -> None:
        """Keep ``data`` with its cause; ``kind`` is ``event`` or ``task``."""
        letter = {
            "v": 1,
            "kind": kind,
            "oid": oid,
            "cause": cause,
            "atMillis": now,
            "data": base64.b64encode(data).decode(),
        }
        await self._log.append(self._subjects.dead(kind, oid or "unknown"), orjson.dumps(letter))
