"""Makes a workspace's configuration folder ready for Terraform: rendered, checked, with its inputs."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform import backends, templates
from processors.terraform.bundle import Bundle
from processors.terraform.configuration import Settings
from processors.terraform.inspection import Declared, Parse, check_inputs, given_by_files, inspect
from processors.terraform.rendering import digest_of, render_module
from processors.terraform.sources import Source
from processors.terraform.tools import Tools
from processors.terraform.workspace import Workspace
from runner.activity import ActivityDetails
from runner.errors import Fatal

INPUTS_FILE = "terraform.tfvars.json"
_OTHER_INPUTS_FILE = "tierform.tfvars.json"
# What may change without the state being another one.
_ACCESS = frozenset(
    {
        "endpoints", "endpoint", "region", "profile", "use_lockfile", "dynamodb_table", "use_path_style", "force_path_style",
        "max_retries", "encrypt", "kms_key_id", "assume_role", "shared_credentials_files", "shared_config_files",
        "skip_credentials_validation", "skip_metadata_api_check", "skip_region_validation", "skip_requesting_account_id",
        "skip_s3_checksum", "lock_address", "unlock_address", "lock_method", "unlock_method", "update_method",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that Terraform can work on.

    Attributes:
        digest: Over all files that decide what ``init`` does.
        variables: Values by variable.
        secrets: Names of those that must not be on disk.
        var_files: ``-var-file`` values, in order, the secret ones aside.
        backend: The backend block, to notice when it becomes another.
        bundled_var_files: ``config.varFiles``.
    """

    digest: str
    variables: Mapping[str, Any]
    secrets: frozenset[str]
    var_files: tuple[str, ...]
    backend: Mapping[str, Any]
    bundled_var_files: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The values that may be on disk."""
        return {name: value for name, value in self.variables.items() if name not in self.secrets}

    def secret(self) -> dict[str, Any]:
        """The others."""
        return {name: value for name, value in self.variables.items() if name in self.secrets}


@dataclass(frozen=True, slots=True)
class Preparation:
    """All that preparing takes.

    Attributes:
        tools: The processor's.
        settings: The definition's.
        details: The delivery's facts.
        inputs: The activity's.
        secret_inputs: Names of the secret ones.
        workspace: Held.
        parse: Terraform's parser.
        source: Gets modules that are not the project's.
    """

    tools: Tools
    settings: Settings
    details: ActivityDetails
    inputs: Mapping[str, Any]
    secret_inputs: frozenset[str]
    workspace: Workspace
    parse: Parse
    source: Source

    async def from_module(self) -> Prepared:
        """Render the module with the activity's inputs.

        Raises:
            Fatal: A template, the module, the inputs or the backend is wrong; nothing is left of the attempt.
        """
        folder = self.workspace.new_configuration()
        try:
            names = await self._render(folder)
            declared = await self._declared(folder)
            if not self.settings.is_project_module:
                declared = await self.source.wrap(folder, declared)
            given = given_by_files(folder, self.settings.var_files)
            check_inputs(declared, self.inputs, template_names=names, given=given, module=self.settings.module)
            known = declared.variables if declared.complete else self.inputs.keys()
            variables = {name: value for name, value in self.inputs.items() if name in known}
            secrets = self._secrets(declared, variables)
            return self._finish(folder, variables, secrets, self._write_backend(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def from_bundle(self, bundle: Bundle) -> Prepared:
        """Unpack the last applied configuration, with inputs given now over those of then.

        Raises:
            Fatal: The configuration does not parse with this version.
        """
        folder = self.workspace.new_configuration()
        try:
            bundle.unpack(folder)
            declared = await self._declared(folder)
            fresh = {name: value for name, value in self.inputs.items() if name in declared.variables}
            variables = {**bundle.inputs, **fresh}
            secrets = self._secrets(declared, variables) | (bundle.secrets & variables.keys())
            generated = _OTHER_INPUTS_FILE if _OTHER_INPUTS_FILE in bundle.files else INPUTS_FILE
            (folder / generated).unlink(missing_ok=True)
            backend = json.loads((folder / backends.BACKEND_FILE).read_text(encoding="utf-8"))
            return self._finish(folder, variables, secrets, backend, bundle.var_files)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _secrets(self, declared: Declared, variables: Mapping[str, Any]) -> frozenset[str]:
        if not declared.complete:
            return frozenset(variables)  # Any of them may be declared sensitive.
        return (self.secret_inputs | declared.sensitive) & variables.keys()

    async def _render(self, folder: Path) -> frozenset[str]:
        if not self.settings.is_project_module:
            await self.source.write(folder, self.inputs, self.secret_inputs)
            return frozenset()
        digest = self.details.modules.get(self.settings.module)
        if digest is None:
            raise Fatal(
                f"looking for module {self.settings.module!r}: the project has none of that name",
                remedy="add the folder to the project's modules, or give config.module a source with a slash in it",
            )
        source = await self.tools.environment.modules.folder(digest)
        plain = {name: value for name, value in self.inputs.items() if name not in self.secret_inputs}
        values = templates.names(self.details, plain)
        rendered = await asyncio.to_thread(render_module, source, folder, values, self.secret_inputs)
        return rendered.template_names

    async def _declared(self, folder: Path) -> Declared:
        digest = await asyncio.to_thread(digest_of, folder, pattern="*.t*")
        known = self.tools.inspections.get(digest)
        if known is None:
            known = await inspect(folder, self.parse, module=self.settings.module)
            self.tools.remember(digest, known)
        return known

    def _write_backend(self, folder: Path) -> Mapping[str, Any]:
        plain = {name: value for name, value in self.inputs.items() if name not in self.secret_inputs}
        backend = backends.block(
            self.settings.backend,
            templates.names(self.details, plain),
            workspace=self.workspace.name,
            single_host=self.tools.environment.single_host and not self.tools.environment.agents_elsewhere(),
        )
        _write(folder / backends.BACKEND_FILE, backend)
        last = self.workspace.facts().get("backend")
        if last is not None and _identity(last) != _identity(backend):
            raise Fatal(
                f"opening workspace {self.workspace.key!r}: its state is in {_shown(last)}, config.backend now says {_shown(backend)}",
                remedy="restore config.backend, or dispose of the workspace before it changes",
            )
        return backend

    def _finish(
        self,
        folder: Path,
        variables: Mapping[str, Any],
        secrets: frozenset[str],
        backend: Mapping[str, Any],
        var_files: tuple[str, ...] | None = None,
    ) -> Prepared:
        own = var_files if var_files is not None else self.settings.var_files
        digest = digest_of(folder)
        # A module's own value file stays as it is; inputs are given last, so that they win over every file.
        name = _OTHER_INPUTS_FILE if (folder / INPUTS_FILE).exists() else INPUTS_FILE
        prepared = Prepared(digest, variables, secrets, (*own, name), backend, own)
        _write(folder / name, prepared.plain())
        self.workspace.adopt_configuration(folder)
        return prepared


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    path.chmod(0o600)


def _identity(backend: Mapping[str, Any]) -> dict[str, Any]:
    [(kind, attributes)] = backend["terraform"]["backend"].items()
    return {"type": kind, **{name: value for name, value in attributes.items() if name not in _ACCESS}}


def _shown(backend: Mapping[str, Any]) -> str:
    return json.dumps(_identity(backend), ensure_ascii=False)
