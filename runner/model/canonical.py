"""One spelling for each JSON value, and the digest of it."""

import hashlib
import json
from typing import Any


def canonical_bytes(value: Any) -> bytes:
    """The value as JSON with sorted keys, no spaces, ASCII alone. Equal values give equal bytes, and the reverse.

    Raises:
        ValueError: The value holds an infinite number or none at all (NaN), which JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(data: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits, as the blob store names it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
