"""Which values of a run are secret."""

from collections.abc import Iterator, Mapping
from typing import Any

from runner.activity import Masker

# Shorter ones are in too many texts by chance to prove anything.
_TELLING_LENGTH = 4


class Secrets:
    """The secret values of one run, known to the masker.

    Args:
        masker: Hides them in texts.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._texts: set[str] = set()

    def add(self, value: Any) -> None:
        """A secret JSON value."""
        self._masker.register(value)
        self._texts.update(text for text in _leaves(value) if len(text) >= _TELLING_LENGTH)

    def exposes(self, value: Any) -> bool:
        """Whether a JSON value has a known secret in it: then it is one too, whatever its module says."""
        return any(secret in text for text in _leaves(value) for secret in self._texts)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, bool) or value is None:
        return
    else:
        yield str(value)
