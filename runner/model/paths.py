"""Places in a JSON value: as tuples of keys and indices, and as JSON path."""

import json
import re
from collections.abc import Iterable
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the outermost inwards; ``()`` is the whole."""

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")


def json_path(path: Iterable[str | int], root: str = "$") -> str:
    """``$.activities[1].dependsOn``; keys that are no plain words are quoted: ``$.properties["a.b"]``."""
    return root + "".join(_step(part) for part in path)


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if _PLAIN.fullmatch(part):
        return f".{part}"
    return f"[{json.dumps(part)}]"
