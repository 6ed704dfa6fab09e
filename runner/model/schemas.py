"""The published JSON Schemas, made from the model. ``python -m runner.model.schemas`` renews them under docs/schemas.

Source: The Orchestrator, "Resource Model: Orchestrations and Activities", which names the two files.
"""

import json
import sys
from pathlib import Path
from typing import Any

from runner.model.definition import ActivityDefinition, OrchestrationDefinition
from runner.model.wire import Wire

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
PUBLISHED: dict[str, type[Wire]] = {
    "orchestration.definition.schema.json": OrchestrationDefinition,
    "activity-definition.schema.json": ActivityDefinition,
}


def generate(model: type[Wire]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what ``model`` accepts, by the names that JSON uses."""
    schema = model.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_titles(schema),
        "title": model.__name__,
    }


def render(model: type[Wire]) -> str:
    """The same as the text of a file."""
    return json.dumps(generate(model), indent=2, ensure_ascii=False) + "\n"


def _without_titles(schema: Any) -> Any:
    """Pydantic repeats each field's name as a title; a *property* called title would be an object and stays."""
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}
        return {key: _without_titles(value) for key, value in kept.items()}
    return [_without_titles(part) for part in schema] if isinstance(schema, list) else schema


def main() -> None:
    """Write the files."""
    for name, model in PUBLISHED.items():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(render(model), encoding="utf-8")
        sys.stderr.write(f"wrote {FOLDER / name}\n")


if __name__ == "__main__":  # pragma: no cover - main itself is tested
    main()
