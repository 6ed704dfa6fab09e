"""A new project folder: the sandbox of ``tierform new``, which ``run`` works in at once."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from runner.errors import InvalidUsage, Refused

_TEMPLATE: Final = Path(__file__).with_name("template")
_RENAMED: Final = {"gitignore": ".gitignore"}  # A file of that name in this tree would be taken for its own.


def scaffold(target: Path) -> list[Path]:
    """Write the sandbox into ``target``, made with its parents if need be, and return the files written, sorted.

    Other files there stay. All or nothing: after an error none of the sandbox's files is there, nor a folder made
    for them.

    Raises:
        runner.errors.Refused: A file would be overwritten.
        runner.errors.InvalidUsage: The folder cannot be made or written to.
    """
    wanted = {target / _place(source): source for source in _TEMPLATE.rglob("*") if source.is_file()}
    there = sorted(str(path.relative_to(target)) for path in wanted if path.exists() or path.is_symlink())
    if there:
        detail = f"making a project in {str(target)!r}: {', '.join(there)} would be overwritten"
        raise Refused(detail, remedy="name a new or an empty folder")
    _write(target, wanted)
    return sorted(wanted)


def _place(source: Path) -> Path:
    path = source.relative_to(_TEMPLATE)
    return path.with_name(_RENAMED.get(path.name, path.name))


def _write(target: Path, wanted: dict[Path, Path]) -> None:
    made: list[Path] = []
    try:
        for path, source in sorted(wanted.items()):
            _make_folder(path.parent, made)
            content = source.read_bytes()
            made.append(path)
            path.write_bytes(content)
    except OSError as error:
        _remove(made)
        detail = (
            f"making a project in {str(target)!r}: {error.filename or target}: {(error.strerror or str(error)).lower()}"
        )
        raise InvalidUsage(detail, remedy="name a folder that can be written to, on a disk with room") from error


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make it with its parents, noting each that was not there."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir()
        made.append(part)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        with suppress(
            OSError
        ):  # What made the writing fail may make this fail too: the first error is the one to tell.
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
