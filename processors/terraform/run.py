"""Deploy, plan and dispose: the steps of a run in a held workspace."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processors.terraform import bundle as bundles
from processors.terraform.backends import STATE_FILE
from processors.terraform.bundle import Bundle
from processors.terraform.memory import MemoryFile
from processors.terraform.operations import Operation
from processors.terraform.preparation import Preparation, Prepared
from processors.terraform.progress import Ledger
from processors.terraform.secrecy import Secrets
from processors.terraform.terraform import Terraform
from runner.errors import Fatal


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an activity."""

    value: Any
    sensitive: bool = False


@dataclass(slots=True)
class Run:
    """One run.

    Attributes:
        preparation: Makes the configuration.
        terraform: Runs it.
        secrets: Knows which values are secret.
    """

    preparation: Preparation
    terraform: Terraform
    secrets: Secrets
    _applied: bool = field(default=False)

    async def perform(self, operation: Operation) -> dict[str, Output]:
        """Do it; the activity's outputs.

        A workspace that this run made and put nothing into is removed again.
        """
        workspace = self.preparation.workspace
        try:
            self.terraform.refuse_errored_state()
            if operation is Operation.DISPOSE:
                return await self._dispose()
            workspace_module = self.preparation.settings.module
            self._require_module(workspace_module)
            return await (self._deploy() if operation is Operation.DEPLOY else self._preview())
        finally:
            if workspace.created and not self._applied and workspace.folder.exists():
                workspace.remove()

    async def _deploy(self) -> dict[str, Output]:
        prepared = await self.preparation.from_module()
        with MemoryFile("tierform-plan") as plan:
            if await self.terraform.plan(prepared, plan):
                self._tell(self._ledger.summary())
                self._keep(prepared)
                await self.terraform.apply(plan)
            else:
                self._tell("No changes: what exists is what the module describes")
                self._keep(prepared)
        return self._as_outputs(await self.terraform.outputs())

    async def _preview(self) -> dict[str, Output]:
        prepared = await self.preparation.from_module()
        with MemoryFile("tierform-plan") as plan:
            changes = await self.terraform.plan(prepared, plan)
        self._tell(self._ledger.summary() if changes else "No changes: what exists is what the module describes")
        return {name: Output(value) for name, value in _summary(self._ledger, changes=changes).items()}

    async def _dispose(self) -> dict[str, Output]:
        workspace = self.preparation.workspace
        prepared = await self._last_applied()
        if prepared is None:
            self._tell(f"Nothing to dispose of: workspace {workspace.key!r} does not exist")
            workspace.remove()
            return {}
        with MemoryFile("tierform-plan") as plan:
            if await self.terraform.plan(prepared, plan, destroy=True):
                self._tell(self._ledger.summary())
                self._applied = True
                await self.terraform.apply(plan)
            else:
                self._tell("No changes: nothing is left to destroy")
        if await self.terraform.has_resources():
            raise Fatal(
                f"disposing of workspace {workspace.key!r}: its state still holds resources",
                remedy="run it again; if it stays so, look at the module's lifecycle blocks",
            )
        workspace.remove()
        return {}

    async def _last_applied(self) -> Prepared | None:
        workspace = self.preparation.workspace
        kept = workspace.read_secret(bundles.NAME)
        if kept is not None:
            return await self.preparation.from_bundle(Bundle.from_json(kept))
        if self.preparation.settings.backend["type"] == "local" and not (workspace.folder / STATE_FILE).exists():
            return None
        # The state may be in a remote backend though this host has never seen the workspace: never say "nothing there"
        # without having asked.
        self._tell("This host keeps no bundle of this workspace: disposing of it with the module as it is now")
        return await self.preparation.from_module()

    def _keep(self, prepared: Prepared) -> None:
        workspace, settings = self.preparation.workspace, self.preparation.settings
        inside = Bundle.of(
            workspace.configuration,
            prepared.variables,
            prepared.secrets,
            prepared.bundled_var_files,
            self.preparation.inputs,
            self.preparation.secret_inputs,
        )
        workspace.write_secret(bundles.NAME, inside.to_json())
        workspace.claim_module(settings.module, self.preparation.details.modules.get(settings.module, ""))
        creator = workspace.facts().get("createdBy") or self.preparation.details.oid
        workspace.record(backend=prepared.backend, createdBy=creator)
        self._applied = True

    def _require_module(self, module: str) -> None:
        owner = self.preparation.workspace.facts().get("module")
        if owner not in (None, module):
            self.preparation.workspace.claim_module(module, "")

    def _as_outputs(self, found: Mapping[str, Any]) -> dict[str, Output]:
        outputs = {}
        for name, each in found.items():
            sensitive = bool(each.get("sensitive")) or name in self.preparation.settings.sensitive
            sensitive = sensitive or self.secrets.exposes(each["value"])
            if sensitive:
                self.secrets.add(each["value"])
            outputs[name] = Output(each["value"], sensitive)
        return outputs

    @property
    def _ledger(self) -> Ledger:
        return self.terraform.reporter.ledger

    def _tell(self, line: str) -> None:
        self.terraform.tell(line)


def _summary(ledger: Ledger, *, changes: bool) -> dict[str, Any]:
    """What ``plan`` puts out: counts as Terraform counts (a replacement is both an addition and a destruction)."""
    resources = [
        {"address": change.address, "action": change.action} for change in ledger.changes if change.action != "noop"
    ]
    return {
        "hasChanges": changes,
        "add": ledger.counts.get("add", 0),
        "change": ledger.counts.get("change", 0),
        "destroy": ledger.counts.get("remove", 0),
        "import": ledger.counts.get("import", 0),
        "replace": sum(1 for change in ledger.changes if change.action == "replace"),
        "resources": resources,
    }
