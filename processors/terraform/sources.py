"""Modules that are not the project's: Terraform gets them, a generated root module passes inputs and outputs through."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform.environment import DATA_FOLDER
from processors.terraform.inspection import Declared, Parse, inspect
from runner.errors import Fatal

_ROOT = "main.tf.json"
_OUTPUTS = "outputs.tf.json"
_CALL = "this"


@dataclass(frozen=True, slots=True)
class Source:
    """Gets one module.

    Attributes:
        module: The source, as Terraform takes it.
        get: Runs ``terraform get`` in a folder.
        parse: Terraform's parser.
    """

    module: str
    get: Callable[[Path], Awaitable[None]]
    parse: Parse

    async def write(self, folder: Path, inputs: Mapping[str, Any], secrets: frozenset[str]) -> None:
        """Make ``folder`` a root module that calls this one with every input.

        Raises:
            Fatal: The source is relative to a place that does not exist, or cannot be had.
        """
        if self.module.startswith("."):
            raise Fatal(
                f"reading config.module {self.module!r}: there is no folder it could be relative to",
                remedy="name a folder of the project's modules, or give an absolute path or a URL",
            )
        call = {"source": self.module, **{name: f"${{var.{name}}}" for name in inputs}}
        variables = {name: {"sensitive": name in secrets} for name in inputs}
        root: dict[str, Any] = {"module": {_CALL: call}}
        if variables:
            root["variable"] = variables
        _write_root(folder, root)
        await self.get(folder)

    async def wrap(self, folder: Path, root: Declared) -> Declared:
        """Pass its outputs on; what the module itself declares.

        Raises:
            Fatal: It does not parse.
        """
        declared = await inspect(self._downloaded(folder), self.parse, module=self.module)
        outputs = {
            name: {"value": f"${{module.{_CALL}.{name}}}", "sensitive": sensitive}
            for name, sensitive in declared.outputs.items()
        }
        if outputs:
            (folder / _OUTPUTS).write_text(json.dumps({"output": outputs}, indent=1), encoding="utf-8")
        return Declared(
            declared.variables,
            declared.required,
            declared.sensitive | root.sensitive,
            declared.outputs,
            declared.complete,
        )

    def _downloaded(self, folder: Path) -> Path:
        manifest = json.loads((folder.parent / DATA_FOLDER / "modules" / "modules.json").read_text(encoding="utf-8"))
        [directory] = [each["Dir"] for each in manifest["Modules"] if each["Key"] == _CALL]
        return Path(folder / directory).resolve()


def _write_root(folder: Path, root: Mapping[str, Any]) -> None:
    folder.mkdir(mode=0o700)
    (folder / _ROOT).write_text(json.dumps(root, indent=1), encoding="utf-8")
