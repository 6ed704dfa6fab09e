"""The published JSON Schemas of the protocol's messages: ``python -m runner.protocol.schemas`` renews them."""

from pathlib import Path
from typing import Any

import msgspec
import orjson

from runner.protocol import messages as m

PLACE = Path(__file__).parents[2] / "docs" / "schemas" / "protocol.schema.json"
_MESSAGES = (
    m.Task,
    m.ManifestEvent,
    m.ReportEvent,
    m.ClaimEvent,
    m.CommandEvent,
    m.Answer,
    m.Control,
    m.Beat,
    m.Live,
    m.Response,
)


def protocol_schema() -> dict[str, Any]:
    """One schema whose ``$defs`` has each message under its name."""
    _, components = msgspec.json.schema_components(_MESSAGES, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages of the native protocol, version 1",
        "$defs": dict(sorted(components.items())),
    }


def text() -> bytes:
    """The file's content."""
    return orjson.dumps(protocol_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    PLACE.write_bytes(text())
