"""JSON Schemas made ready: translated, checked once, kept by their content.

References are followed inside the schema alone; nothing is ever fetched.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # Ships no type information.
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

from runner.model.canonical import canonical_bytes
from runner.model.formats import checker
from runner.model.openapi import plain
from runner.model.patterns import check_pattern
from runner.model.subschemas import subschemas

_KEPT = 1024
FORMATS = checker()
IN_PLACE = ("allOf", "anyOf", "oneOf")
"""Keywords whose schemas apply to the same value."""


class HiddenSecret(dict[str, Any]):
    """Stands in a value that is validated for a secret that is known by reference only: every schema allows it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A schema inside a document, with what resolves its references."""

    schema: Any
    resolver: Any

    def at(self, schema: Any) -> "Node":
        """A schema that stands inside this one."""
        return Node(schema, self.resolver)

    def target(self) -> "Node | None":
        """What ``$ref`` refers to; None without one, or when it cannot be resolved."""
        reference = (
            self.schema.get("$ref", self.schema.get("$dynamicRef")) if isinstance(self.schema, Mapping) else None
        )
        if not isinstance(reference, str):
            return None
        try:
            resolved = self.resolver.lookup(reference)
        except Unresolvable:
            return None
        return Node(resolved.contents, resolved.resolver)

    def in_place(self) -> Iterator["Node"]:
        """The schemas directly behind ``$ref``, ``allOf``, ``anyOf`` and ``oneOf``."""
        target = self.target()
        if target is not None:
            yield target
        if isinstance(self.schema, Mapping):
            for keyword in IN_PLACE:
                yield from map(self.at, self.schema.get(keyword) or ())

    def spread(self) -> Iterator["Node"]:
        """This schema and everything behind it in place, each once."""
        pending, seen = [self], set[int]()
        while pending:
            node = pending.pop(0)
            if id(node.schema) not in seen:
                seen.add(id(node.schema))
                yield node
                pending += node.in_place()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema made ready.

    Attributes:
        root: The plain JSON Schema.
        validator: For values; an instance of `HiddenSecret` passes everywhere.
        holds_sensitive: Whether it marks anything ``"sensitive": true``.
    """

    root: Node
    validator: Any
    holds_sensitive: bool


def compiled(schema: Any) -> Compiled:
    """The schema made ready; plain or ``{"openAPIV3Schema": …}``. The same content is compiled once."""
    return _compiled(canonical_bytes(schema))


def meta_validator(schema: Any) -> Any:
    """The validator for ``schema`` as a schema, of the draft that its ``$schema`` names."""
    chosen = _draft_of(schema)
    return chosen(chosen.META_SCHEMA, format_checker=FORMATS, registry=REGISTRY)


def knows_draft(schema: Any) -> bool:
    """Whether ``$schema`` is missing or names a draft of JSON Schema."""
    return not isinstance(schema, Mapping) or "$schema" not in schema or _draft_of(schema, default=None) is not None


@lru_cache(maxsize=_KEPT)
def _compiled(canonical: bytes) -> Compiled:
    schema = plain(json.loads(canonical))
    specification = specification_with(_dialect(schema), default=DRAFT202012)
    resolver = REGISTRY.resolver_with_root(specification.create_resource(schema))
    return Compiled(
        Node(schema, resolver),
        _passing_secrets(_draft_of(schema))(schema, format_checker=FORMATS, registry=REGISTRY),
        holds_sensitive=any(part.get("sensitive") is True for _, part in subschemas(schema)),
    )


@lru_cache(maxsize=16)
def _passing_secrets(draft: Any) -> Any:
    checks = {**draft.VALIDATORS, "pattern": check_pattern}
    guarded = {keyword: _unless_secret(check) for keyword, check in checks.items()}
    return extend(draft, guarded)  # type: ignore[no-untyped-call] # Its stubs leave it untyped.


def _unless_secret(check: Callable[..., Any]) -> Callable[..., Any]:
    def checked(validator: Any, argument: Any, instance: Any, schema: Any) -> Any:
        return () if isinstance(instance, HiddenSecret) else check(validator, argument, instance, schema)

    return checked


def _dialect(schema: Any) -> str:
    named = schema.get("$schema") if isinstance(schema, Mapping) else None
    return named if isinstance(named, str) else ""


def _draft_of(schema: Any, default: Any = Draft202012Validator) -> Any:
    return validator_for({"$schema": _dialect(schema)}, default=default) if _dialect(schema) else default
