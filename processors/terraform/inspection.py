"""What a module declares, and whether the inputs fit it."""

import difflib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform.declarations import assigned, declarations
from processors.terraform.diagnostics import Diagnostic, describe
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
    found = declarations(folder)
    if found.broken:
        await _refuse_broken(folder, parse, module)
        return Declared(frozenset(), frozenset(), frozenset(), {}, complete=False)  # Terraform says what is wrong.
    variables = found.blocks["variable"]
    return Declared(
        variables=frozenset(variables),
        required=frozenset(name for name, attributes in variables.items() if "default" not in attributes),
        sensitive=frozenset(
            name
            for name in variables
            if found.is_true("variable", name, "sensitive") or found.is_true("variable", name, "ephemeral")
        ),
        outputs={name: found.is_true("output", name, "sensitive") for name in found.blocks["output"]},
    )


async def _refuse_broken(folder: Path, parse: Parse, module: str) -> None:
    found = await parse(folder)
    diagnostics = [Diagnostic.from_library(each, str(folder)) for each in found["diagnostics"]]
    errors = [each for each in diagnostics if each.severity == "error"]
    if errors:
        raise Fatal(
            f"reading module {module!r}: it is not valid\n{describe(errors)}", remedy="mend the module and run again"
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
        return assigned(text)
    try:
        value = json.loads(text)
    except ValueError:
        return frozenset()  # Terraform says what is wrong with it.
    return frozenset(value) if isinstance(value, dict) else frozenset()


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
