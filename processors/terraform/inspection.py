"""What a module declares, and whether the inputs fit it."""

import difflib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform.diagnostics import Diagnostic, describe
from processors.terraform.scanning import attributes, body_start
from runner.errors import Fatal

Parse = Callable[[Path], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Declared:
    """What the root module of a configuration declares.

    Attributes:
        variables: All of them.
        required: Those without a default.
        sensitive: Those marked ``sensitive`` or ``ephemeral``.
        outputs: Outputs, and whether they are marked sensitive.
        complete: Whether ``variables`` can be relied on; not so for files in a dialect the parser does not read.
    """

    variables: frozenset[str]
    required: frozenset[str]
    sensitive: frozenset[str]
    outputs: Mapping[str, bool]
    complete: bool = True


async def inspect(folder: Path, parse: Parse, *, module: str) -> Declared:
    """What the configuration in ``folder`` declares, by Terraform's own parser.

    Raises:
        Fatal: It does not parse; the text is Terraform's.
    """
    if _has_foreign_dialect(folder):
        return Declared(frozenset(), frozenset(), frozenset(), {}, complete=False)
    found = await parse(folder)
    diagnostics = [Diagnostic.from_library(each, str(folder)) for each in found["diagnostics"]]
    errors = [each for each in diagnostics if each.severity == "error"]
    if errors or found["error"]:
        raise Fatal(
            f"reading module {module!r}: it is not valid\n{describe(errors) or found['error']}",
            remedy="mend the module and run again",
        )
    variables = found["variables"]
    return Declared(
        variables=frozenset(each["name"] for each in variables),
        required=frozenset(each["name"] for each in variables if _is_required(each, folder)),
        sensitive=frozenset(each["name"] for each in variables if each["sensitive"] or each["ephemeral"]),
        outputs={each["name"]: bool(each["sensitive"]) for each in found["outputs"]},
    )


def check_inputs(
    declared: Declared, inputs: Iterable[str], *, template_names: frozenset[str], given: frozenset[str], module: str
) -> None:
    """Refuse inputs that nothing uses and required variables that nothing gives, all at once.

    Args:
        declared: The module's declarations.
        inputs: Names of the activity's inputs.
        template_names: Names its templates use.
        given: Variables that the module's own value files give.
        module: Its name, for the error.

    Raises:
        Fatal: Names both.
    """
    if not declared.complete:
        return
    inputs = frozenset(inputs)
    unused = sorted(inputs - declared.variables - template_names)
    missing = sorted(declared.required - inputs - given)
    if not unused and not missing:
        return
    parts = []
    if unused:
        parts.append("inputs that neither a variable nor a template uses: " + ", ".join(map(repr, unused)))
    if missing:
        parts.append("required variables that no input gives: " + ", ".join(map(repr, missing)))
    raise Fatal(
        f"checking the inputs of module {module!r}: " + "; ".join(parts),
        remedy=_advice(unused, missing, declared, template_names),
    )


def given_by_files(folder: Path, var_files: Iterable[str]) -> frozenset[str]:
    """Variables that value files in the configuration give: the automatic ones and those of ``config.varFiles``.

    Raises:
        Fatal: One of ``var_files`` is not there.
    """
    automatic = ("terraform.tfvars", "terraform.tfvars.json")
    paths = [path for path in sorted(folder.iterdir()) if path.name in automatic or _is_automatic(path.name)]
    for name in var_files:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise Fatal(f"reading config.varFiles: the module has no file {name!r}", remedy="name files of the module")
        paths.append(path)
    return frozenset(name for path in paths for name in _assigned(path))


def _has_foreign_dialect(folder: Path) -> bool:
    return any(path.name.endswith((".tofu", ".tofu.json")) for path in folder.iterdir())


def _is_automatic(name: str) -> bool:
    return name.endswith((".auto.tfvars", ".auto.tfvars.json"))


def _assigned(path: Path) -> frozenset[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".json":
        return attributes(text)
    try:
        value = json.loads(text)
    except ValueError:
        return frozenset()  # Terraform says what is wrong with it.
    return frozenset(value) if isinstance(value, dict) else frozenset()


def _is_required(variable: Mapping[str, Any], folder: Path) -> bool:
    # An override may add a default elsewhere; Terraform itself then says what is missing.
    if any(path.name.startswith("override.tf") or "_override.tf" in path.name for path in folder.iterdir()):
        return False
    place = variable["range"]
    data = Path(place["Filename"]).read_bytes()
    if place["Filename"].endswith(".json"):
        return not _json_has_default(json.loads(data), variable["name"])
    # One character per byte keeps the parser's byte offsets valid; the names looked for are ASCII.
    text = data.decode("latin-1")
    return "default" not in attributes(text, body_start(text, place["End"]["Byte"]))


def _json_has_default(document: Any, name: str) -> bool:
    blocks = document if isinstance(document, list) else [document]
    for block in blocks:
        variables = block.get("variable", {})
        for each in variables if isinstance(variables, list) else [variables]:
            bodies = each.get(name, {})
            if any("default" in body for body in (bodies if isinstance(bodies, list) else [bodies])):
                return True
    return False


def _advice(unused: list[str], missing: list[str], declared: Declared, template_names: frozenset[str]) -> str:
    known = sorted(declared.variables | template_names)
    hints = []
    for name in unused:
        folded = {_folded(each): each for each in known}
        close = difflib.get_close_matches(_folded(name), list(folded), n=1, cutoff=0.7)
        if close:
            hints.append(f"{name!r} looks like the variable {folded[close[0]]!r}: map it with source and target")
    if missing and not hints:
        hints.append("add them to the activity's inputs, or give the variables a default")
    hints.append(f"the module takes {', '.join(map(repr, known)) or 'no inputs at all'}")
    return "; ".join(hints)


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
