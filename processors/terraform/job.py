"""A run in the background: it outlasts the delivery that began it, and each further one polls it."""

import asyncio
import collections
import errno
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from processors.terraform.run import Output
from processors.terraform.workspace import Workspace
from runner.activity import ActivityDetails
from runner.errors import Fatal, Unreachable

Tell = Callable[[str], None]
Work = Callable[["Job"], Awaitable[Mapping[str, Output]]]

_KEPT_LINES = 1000
_RESULT = "result"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def job_key(details: ActivityDetails) -> str:
    """Names one attempt of one activity, however often it is delivered."""
    return f"{details.oid}/{details.generation}/{details.id}/{details.discriminator}/{details.attempt}"


def fingerprint(details: ActivityDetails, inputs: Mapping[str, Any]) -> str:
    """Of all that decides a run's result; kept encrypted, as a short secret could be guessed from it."""
    facts = [inputs, details.config, details.modules, details.correlation_id, details.discriminator]
    text = json.dumps(facts, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class Job:
    """One run.

    Args:
        key: See ``job_key``.
        fingerprint: See there.
        workspace: Held; released when the run ends.
        work: Does it.
    """

    def __init__(self, key: str, fingerprint: str, workspace: Workspace, work: Work) -> None:
        self.key = key
        self._fingerprint = fingerprint
        self.stop = asyncio.Event()
        self._workspace = workspace
        self._listener: Tell | None = None
        self._unheard: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self.task: asyncio.Task[Mapping[str, Output]] = asyncio.create_task(
            self._perform(work), name=f"terraform {key}"
        )

    def tell(self, line: str) -> None:
        """One line of progress, to the delivery that listens or to the next one."""
        if self._listener is None:
            self._unheard.append(line)
        else:
            self._listener(line)

    def listen(self, listener: Tell | None) -> None:
        """Give the lines to ``listener`` from now on, those nobody heard first."""
        self._listener = listener
        while listener is not None and self._unheard:
            listener(self._unheard.popleft())

    async def _perform(self, work: Work) -> Mapping[str, Output]:
        try:
            outputs = await work(self)
            if self._workspace.folder.exists():
                # For a delivery after this agent's death, or at another agent of this host.
                kept = {name: [each.value, each.sensitive] for name, each in outputs.items()}
                self._workspace.write_secret(
                    _RESULT, {"job": self.key, "fingerprint": self._fingerprint, "outputs": kept}
                )
        except OSError as error:
            raise as_error(error, self._workspace.key) from error
        else:
            return outputs
        finally:
            self._workspace.release()


def kept_result(workspace: Workspace, key: str, fingerprint: str) -> Mapping[str, Output] | None:
    """The outputs of the job of that key, if it ended well and nothing has run here since."""
    kept: Any = workspace.read_secret(_RESULT)
    if not kept or (kept["job"], kept["fingerprint"]) != (key, fingerprint):
        return None
    return {name: Output(value, sensitive) for name, (value, sensitive) in kept["outputs"].items()}


def as_error(error: OSError, key: str) -> Fatal | Unreachable:
    """What the operating system refused: a full disk passes, other things do not."""
    doing = f"running in workspace {key!r}: {error.filename or 'a file'}: {error.strerror}"
    if error.errno in _NO_ROOM:
        return Unreachable(doing, remedy="make room on the disk of the data folder")
    return Fatal(doing, remedy="check the data folder and its permissions")
