"""``dead-letters list|show|requeue|drop``."""

import base64
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from runner.assembly.installation import Installation, open_installation
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.views.text import first_line, json_text
from runner.engine.presentation import timestamp
from runner.errors import UnknownThing
from runner.messaging.ports import Entry


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter; ``number`` is its sequence in the log."""

    number: int
    subject: str
    letter: dict[str, Any]

    @property
    def data(self) -> bytes:
        """The message that could not be processed."""
        return base64.b64decode(self.letter["data"])


def dead_letters_command(
    action: str, number: int | None, output: str, project_folder: Path, data_dir: Path | None, nats: str | None
) -> Exit:
    """Carry one action out."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> Exit:
        async with open_installation(project, nats, environment) as installation:
            letters = await _letters(installation)
            if action == "list":
                _print_list(letters, output)
                return Exit.COMPLETED
            return await _ACTIONS[action](installation, _chosen(letters, number))

    return run_async(work())


async def _letters(installation: Installation) -> list[Letter]:
    found: list[Letter] = []
    for subject in await installation.messaging.log.subjects(f"{installation.subjects.prefix}.dead"):
        found += [_letter(entry) for entry in await installation.messaging.log.read(subject)]
    return sorted(found, key=lambda letter: letter.number)


def _letter(entry: Entry) -> Letter:
    return Letter(entry.sequence, entry.subject, orjson.loads(entry.data))


def _chosen(letters: list[Letter], number: int | None) -> Letter:
    found = next((letter for letter in letters if letter.number == number), None)
    if found is None:
        raise UnknownThing(
            f"looking for dead letter {number}: there is none of that number",
            remedy="`tierform dead-letters list` shows those there are",
        )
    return found


def _print_list(letters: list[Letter], output: str) -> None:
    if output == "json":
        print(json_text([{"number": letter.number, **letter.letter} for letter in letters]))
        return
    if not letters:
        print("there are no dead letters", file=sys.stderr)
    for letter in letters:
        when = timestamp(letter.letter["atMillis"])
        kind, oid = letter.letter["kind"], letter.letter.get("oid", "")
        print(f"{letter.number:6}  {when}  {kind:6}  {oid}  {first_line(letter.letter['cause'])}")


async def _show(installation: Installation, letter: Letter) -> Exit:
    del installation
    print(json_text({"number": letter.number, **letter.letter, "data": letter.data.decode("utf-8", "replace")}))
    return Exit.COMPLETED


async def _requeue(installation: Installation, letter: Letter) -> Exit:
    await installation.messaging.queue.publish(letter.letter["subject"], letter.data)
    await _drop(installation, letter)
    print(f"dead letter {letter.number} stands in '{letter.letter['subject']}' again", file=sys.stderr)
    return Exit.COMPLETED


async def _drop(installation: Installation, letter: Letter) -> Exit:
    await installation.messaging.log.remove(letter.subject, letter.number)
    return Exit.COMPLETED


_ACTIONS: dict[str, Callable[[Installation, Letter], Awaitable[Exit]]] = {
    "show": _show,
    "requeue": _requeue,
    "drop": _drop,
}
