"""The fenced blocks of a Markdown file, and what a reader would do with them in a shell.

* ``console``: lines that begin with ``$`` are commands, up to the next one stands what they print. Each shown line must
  be part of a printed one, in the same order; ``…`` stands for anything, spaces count as one. A command must succeed
  unless ``$ echo $?`` follows it.
* Any block whose first line is a comment with nothing but a path is a file, written when its turn comes.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("tierform")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//|\{#|<!--) (\S+/\S+\.\w+)(?: #\}| -->)?")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def file(self) -> str:
        """The path in its first line; empty when it is no file."""
        found = _FILE.fullmatch(self.text.split("\n", 1)[0])
        return found[1] if found else ""


@dataclass(frozen=True)
class Shown:
    """One command as a document shows it."""

    line: int
    command: str
    output: tuple[str, ...]
    may_fail: bool

    def __str__(self) -> str:
        return f"{self.line}: {self.command[:60]}"


@dataclass
class Walkthrough:
    """What the commands of a document did."""

    codes: dict[int, int] = field(default_factory=dict)
    outputs: dict[int, str] = field(default_factory=dict)

    def hold(self, shown: Shown) -> None:
        """Compare what a command did with what the document shows."""
        output = self.outputs[shown.line]
        assert shown.may_fail or self.codes[shown.line] == 0, f"exit code {self.codes[shown.line]}\n{output}"
        position, lines = 0, [_squeezed(line) for line in output.splitlines()]
        for expected in shown.output:
            pattern = re.compile(".*".join(map(re.escape, _squeezed(expected).split("…"))))
            found = next((at for at in range(position, len(lines)) if pattern.search(lines[at])), None)
            assert found is not None, f"not printed (in this order): {expected}\n{output}"
            position = found + 1


def _squeezed(line: str) -> str:
    return " ".join(line.split())


def blocks(document: str) -> list[Block]:
    """All fenced blocks of one document of the project."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, found.start()) + 2, found[1], found[2]) for found in _FENCE.finditer(text)
    ]


def commands(document: str) -> list[Shown]:
    """All commands that a document shows with a prompt."""
    return [shown for block in blocks(document) if block.language == "console" for shown in _of(block)]


def _of(block: Block) -> list[Shown]:
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if line.startswith("$ "):
            found.append((number, line[2:], []))
        else:
            found[-1][2].append(line)
    after = [command for _, command, _ in found[1:]] + [""]
    return [
        Shown(line, command, tuple(output), following == "echo $?")
        for (line, command, output), following in zip(found, after, strict=True)
    ]


def walk(document: str, folder: Path, programs: dict[str, str] | None = None) -> Walkthrough:
    """Do in ``folder`` what the document says, from its beginning to its end, in one shell.

    Args:
        document: Its path in the project.
        folder: Empty.
        programs: Python texts by the names of the commands that they stand in for.
    """
    results, home, work, bin_ = (folder / name for name in ("results", "home", "work", "bin"))
    for each in (results, home, work, bin_):
        each.mkdir()
    for name, text in (programs or {}).items():
        (bin_ / name).write_text(f"#!{sys.executable}\n{text}")
        (bin_ / name).chmod(0o755)
    environment = {
        "PATH": f"{bin_}:{COMMAND.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TIERFORM_KEY_FILE": str(folder / "key"),
    }
    subprocess.run(
        ["bash", "-c", _script(document, results)],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=110,
        check=True,
    )
    walkthrough = Walkthrough()
    for path in results.glob("*.code"):
        walkthrough.codes[int(path.stem)] = int(path.read_text())
        walkthrough.outputs[int(path.stem)] = path.with_suffix(".out").read_text()
    return walkthrough


def _script(document: str, results: Path) -> str:
    parts = []
    for block in blocks(document):
        if block.file:
            name = shlex.quote(block.file)
            parts.append(f"mkdir -p $(dirname {name}); printf %s {shlex.quote(block.text)} >{name}")
        elif block.language == "console":
            # The last line gives `$?` back to a command that looks at it.
            parts += [
                f"(exit ${{code:-0}}); {{ {shown.command}\n}} >{results}/{shown.line}.out 2>&1; code=$?\n"
                f"echo $code >{results}/{shown.line}.code"
                for shown in _of(block)
            ]
    return "\n".join([*parts, "exit 0"])
