"""From a workspace's key to names that every file system and object store takes."""

import hashlib
import string
from collections.abc import Mapping
from typing import Any

from processors.terraform.templates import render
from runner.errors import Fatal

DEFAULT_TEMPLATE = "{{ correlationId or orchestration.id }}-{{ activity.id }}"

_PLAIN = frozenset(string.ascii_letters + string.digits + "-_.")
_ESCAPE = "~"
# A folder's name may have 255 bytes; this leaves room for prefixes and suffixes of temporary files.
_MAX_LENGTH = 200
_KEPT_PREFIX = 120


def workspace_key(template: str, values: Mapping[str, Any]) -> str:
    """The key that ``config.workspace`` gives for these values.

    Raises:
        Fatal: The template fails, or its result is empty.
    """
    key = render(template, values, called="config.workspace")
    if not key.strip():
        raise Fatal(
            f"naming the workspace: config.workspace {template!r} came out empty",
            remedy="use inputs that have a value in it",
        )
    return key


def encode(key: str) -> str:
    """A name of letters, digits and ``-_.~`` that is no other key's.

    Anything else becomes ``~XX`` per byte of its UTF-8, so does a leading dot. A long name is cut and ends in ``~~``
    and the key's SHA-256: two tildes in a row come from nothing else.
    """
    name = "".join(_encoded(character, first=index == 0) for index, character in enumerate(key))
    if len(name) <= _MAX_LENGTH:
        return name
    digest = hashlib.sha256(_bytes(key)).hexdigest()
    return f"{name[:_KEPT_PREFIX].rstrip(_ESCAPE)}{_ESCAPE * 2}{digest}"


def _encoded(character: str, *, first: bool) -> str:
    if character in _PLAIN and not (first and character == "."):
        return character
    return "".join(f"{_ESCAPE}{byte:02X}" for byte in _bytes(character))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
