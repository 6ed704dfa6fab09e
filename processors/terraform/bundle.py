"""The last applied configuration with its inputs: all that destroying it takes."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "bundle"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is kept, encrypted.

    Attributes:
        files: Content by path within the configuration.
        inputs: Values of the module's variables, secrets among them.
        secrets: Names of the secret ones.
        var_files: Value files that lie under the inputs.
        given: The activity's inputs of then, those that only templates use among them.
        given_secrets: Names of the secret ones.
    """

    files: Mapping[str, bytes]
    inputs: Mapping[str, Any]
    secrets: frozenset[str]
    var_files: tuple[str, ...]
    given: Mapping[str, Any]
    given_secrets: frozenset[str]

    @classmethod
    def of(
        cls,
        folder: Path,
        inputs: Mapping[str, Any],
        secrets: frozenset[str],
        var_files: tuple[str, ...],
        given: Mapping[str, Any],
        given_secrets: frozenset[str],
    ) -> "Bundle":
        """Of a configuration folder as it is now."""
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        return cls(files, dict(inputs), secrets, var_files, dict(given), given_secrets)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Bundle":
        """The reverse of ``to_json``."""
        files = {name: zlib.decompress(base64.b64decode(text)) for name, text in value["files"].items()}
        return cls(
            files,
            value["inputs"],
            frozenset(value["secrets"]),
            tuple(value["varFiles"]),
            value["given"],
            frozenset(value["givenSecrets"]),
        )

    def to_json(self) -> dict[str, Any]:
        """As it is encrypted."""
        return {
            "files": {name: base64.b64encode(zlib.compress(data)).decode() for name, data in self.files.items()},
            "inputs": dict(self.inputs),
            "secrets": sorted(self.secrets),
            "varFiles": list(self.var_files),
            "given": dict(self.given),
            "givenSecrets": sorted(self.given_secrets),
        }

    def unpack(self, folder: Path) -> None:
        """Write the files into the new folder."""
        folder.mkdir(mode=0o700)
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o600)
