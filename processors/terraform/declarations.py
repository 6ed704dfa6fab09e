"""Variables and outputs that a folder's configuration files declare, read from their syntax.

The library's own configuration loader is no help here: it cannot put into JSON any module whose expressions call functions
(validations, for one). A syntax tree is all that is needed: which blocks there are, and which attributes they set.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter_hcl
from tree_sitter import Language, Node, Parser

_ABOUT = ("variable", "output")


@dataclass(slots=True)
class Declarations:
    """What the files declare; an override's attributes are merged into those of the block it overrides.

    Attributes:
        blocks: Attributes by kind of block and name: ``{"variable": {"x": {"default": "...", "sensitive": "true"}}}``.
            Values are source text, or JSON values from JSON files.
        broken: Files that do not parse, in part or as a whole.
    """

    blocks: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {kind: {} for kind in _ABOUT})
    broken: list[Path] = field(default_factory=list)

    def add(self, kind: str, name: str, attributes: dict[str, Any]) -> None:
        """Take one block."""
        self.blocks[kind].setdefault(name, {}).update(attributes)

    def is_true(self, kind: str, name: str, attribute: str) -> bool:
        """Whether an attribute is written as true; anything that is computed counts as true."""
        value = self.blocks[kind][name].get(attribute, False)
        return value not in (False, "false", None)


def declarations(folder: Path) -> Declarations:
    """What the root module in ``folder`` declares."""
    found = Declarations()
    for path in sorted(folder.iterdir(), key=lambda path: (_is_override(path.name), path.name)):
        if path.name.endswith(".tf.json"):
            _read_json(path, found)
        elif path.name.endswith(".tf"):
            _read(path, found)
    return found


def assigned(text: str) -> frozenset[str]:
    """Names that the top level of a value file (``*.tfvars``) sets."""
    return frozenset(name for name, _ in _attributes(_tree(text.encode())))


def _is_override(name: str) -> bool:
    stem = name.removesuffix(".json").removesuffix(".tf")
    return stem == "override" or stem.endswith("_override")


def _read(path: Path, found: Declarations) -> None:
    root = _tree(path.read_bytes())
    if root.has_error:
        found.broken.append(path)
    for body in _children(root, "body"):
        for block in _children(body, "block"):
            kind, labels = _header(block)
            if kind in _ABOUT and len(labels) == 1:
                found.add(kind, labels[0], dict(_attributes(block)))


def _read_json(path: Path, found: Declarations) -> None:
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        found.broken.append(path)
        return
    for part in _listed(document):
        for kind in _ABOUT:
            for block in _listed(part.get(kind, {})):
                for name, bodies in block.items():
                    for body in _listed(bodies):
                        found.add(kind, name, body)


def _listed(value: Any) -> list[dict[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, dict)]


@cache
def _language() -> Language:
    return Language(tree_sitter_hcl.language())


def _tree(data: bytes) -> Node:
    return Parser(_language()).parse(data).root_node


def _children(node: Node, kind: str) -> Iterator[Node]:
    return (child for child in node.children if child.type == kind)


def _header(block: Node) -> tuple[str, list[str]]:
    names = [_text(child).strip('"') for child in block.children if child.type in ("identifier", "string_lit")]
    return names[0], names[1:]


def _attributes(node: Node) -> Iterator[tuple[str, str]]:
    for body in _children(node, "body"):
        for attribute in _children(body, "attribute"):
            name, _, value = attribute.children[0], attribute.children[1], attribute.children[-1]
            yield _text(name), _text(value)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
