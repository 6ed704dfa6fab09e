"""Where a definition came from: which file, which place in it."""

from collections.abc import Callable
from dataclasses import dataclass

from runner.errors import Problem
from runner.model.paths import Path, json_path


def _nowhere(_: Path) -> tuple[int, int]:
    return 0, 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Turns places in a definition into places in its document.

    Attributes:
        source: The file's name, or empty.
        prefix: Where the definition stands in its document: ``(2,)`` in an array.
        group: The key under ``activities`` when the document is a template.
        locate: Line and column of a place in the document; zeros when unknown.
    """

    source: str = ""
    prefix: Path = ()
    group: str | None = None
    locate: Callable[[Path], tuple[int, int]] = _nowhere

    def problem(self, path: Path, message: str, remedy: str = "") -> Problem:
        """A problem at a place in the definition."""
        place = self._place(path)
        line, column = self.locate(place)
        return Problem(message, json_path(place), self.source, remedy, line, column)

    def _place(self, path: Path) -> Path:
        if self.group is None:
            return (*self.prefix, *path)
        if path[:1] == ("activities",):
            return (*self.prefix, "activities", self.group, *path[1:])
        return (*self.prefix, "activities", self.group) if path == ("type",) else (*self.prefix, *path)
