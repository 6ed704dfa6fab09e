"""Validation against JSON Schemas: everything that is wrong at once, in words, without a secret in them.

Schemas are plain JSON Schemas (2020-12 unless ``$schema`` says otherwise) or ``{"openAPIV3Schema": …}``. Formats are
checked, unknown keywords ignored, references followed inside the schema alone, defaults not applied.

A secret that is known by reference only, ``{"$secret": "…"}``, is valid wherever the schema marks a value
``"sensitive": true``: what it stands for is checked by whoever resolves it.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import ValidationError

from runner.errors import Problem
from runner.graph.references import is_secret_reference
from runner.model.canonical import canonical_bytes
from runner.model.compiled import Compiled, HiddenSecret, Node, compiled, knows_draft, meta_validator
from runner.model.openapi import WRAPPER, is_wrapped, plain
from runner.model.paths import Path, json_path
from runner.model.sensitivity import is_within, sensitive_paths
from runner.model.subschemas import subschemas
from runner.model.violation import described

__all__ = ["plain", "schema_faults", "schema_problems", "sensitive_paths", "violations"]


def violations(schema: Any, value: Any, *, root: str = "$", any_secret: bool = False) -> list[Problem]:
    """Everything in ``value`` that violates ``schema``, ordered by place; empty when it is valid.

    Args:
        schema: Plain or wrapped; an invalid one is itself the problem.
        value: A JSON value.
        root: How the value is called in the problems' paths: ``$.inputs`` gives ``$.inputs.tenantId``.
        any_secret: Secrets by reference pass wherever they stand, not only where the schema marks a value sensitive.
    """
    invalid = schema_problems(schema)
    if invalid:
        return [
            Problem(
                f"cannot be checked, for its schema is invalid at {invalid[0].path}: {invalid[0].message}", path=root
            )
        ]
    made = compiled(schema)
    try:
        sensitive = sensitive_paths(schema, value)
        errors = list(made.validator.iter_errors(_hidden(value, None if any_secret else sensitive)))
    except RecursionError:
        return [Problem("is nested too deeply, or its schema refers to itself without end", path=root)]
    return [_problem(error, made, sensitive, root) for error in sorted(errors, key=_place)]


def schema_problems(schema: Any, *, root: str = "$") -> list[Problem]:
    """Everything that makes ``schema`` no valid schema, each with its place in it."""
    return [Problem(text, path=json_path(path, root), remedy=remedy) for path, text, remedy in schema_faults(schema)]


def schema_faults(schema: Any) -> tuple[tuple[Path, str, str], ...]:
    """The same, each as its place, what is wrong, and what to do."""
    return _found(canonical_bytes(schema))


@lru_cache(maxsize=1024)
def _found(canonical: bytes) -> tuple[tuple[Path, str, str], ...]:
    schema = json.loads(canonical)
    where: Path = (WRAPPER,) if is_wrapped(schema) else ()
    translated = plain(schema)
    found = _dialect_problems(translated) or list(_meta_problems(translated))
    found = found or [*_reference_problems(compiled(translated).root), *_marking_problems(translated)]
    return tuple(((*where, *path), text, remedy) for path, text, remedy in dict.fromkeys(found))


def _dialect_problems(schema: Any) -> list[tuple[Path, str, str]]:
    if knows_draft(schema):
        return []
    remedy = "use https://json-schema.org/draft/2020-12/schema, or leave it out"
    return [(("$schema",), "names a dialect of JSON Schema that is not known", remedy)]


def _meta_problems(schema: Any) -> Iterator[tuple[Path, str, str]]:
    for error in sorted(meta_validator(schema).iter_errors(schema), key=_place):
        text = described(error, hidden=False)
        yield tuple(error.absolute_path), f"is no valid JSON Schema: {text.message}", text.remedy


def _reference_problems(root: Node) -> Iterator[tuple[Path, str, str]]:
    for path, part in subschemas(root.schema):
        if "$ref" in part and root.at(part).target() is None:
            yield (
                (*path, "$ref"),
                f"refers to '{part['$ref']}', which is not in this schema",
                "put the schema under $defs here and refer to it as '#/$defs/…'; nothing is fetched",
            )


def _marking_problems(schema: Any) -> Iterator[tuple[Path, str, str]]:
    for path, part in subschemas(schema):
        if not isinstance(part.get("sensitive", False), bool):
            yield (*path, "sensitive"), "must be true or false", ""


def _hidden(value: Any, places: list[Path] | None, path: Path = ()) -> Any:
    """A copy of ``value`` whose secrets by reference are `HiddenSecret`; only those within ``places``, if given."""
    if is_secret_reference(value):
        return HiddenSecret(value) if places is None or is_within(path, places) else value
    if isinstance(value, dict):
        return {key: _hidden(part, places, (*path, key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(part, places, (*path, index)) for index, part in enumerate(value)]
    return value


def _problem(error: ValidationError, made: Compiled, sensitive: list[Path], root: str) -> Problem:
    path = tuple(error.absolute_path)
    text = described(error, hidden=is_within(path, sensitive) or (made.holds_sensitive and _may_hold(error.schema)))
    return Problem(text.message, path=json_path((*path, *text.below), root), remedy=text.remedy)


def _may_hold(schema: Any) -> bool:
    """Whether a value of this schema may have a sensitive part: then not even a misshapen value is shown."""
    return any(part.get("sensitive") is True or "$ref" in part for _, part in subschemas(schema))


def _place(error: ValidationError) -> tuple[list[tuple[bool, int | str]], str]:
    return [(isinstance(key, str), key) for key in error.absolute_path], str(error.validator)
