"""``rotate-key``: a new key, and every stored secret wrapped by it."""

import sys
from pathlib import Path

from runner.assembly.installation import open_installation
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.secrets.keys import open_key_file, rotate


def rotate_key_command(project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Put a new primary key into the key file, then re-wrap the stored secrets; safe to repeat after a crash."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)
    open_key_file(environment.key_file, data_dir=project.data.root)
    rotate(environment.key_file, data_dir=project.data.root)

    async def work() -> int:
        async with open_installation(project, nats, environment) as installation:
            return await installation.store.rewrap()

    count = run_async(work())
    print(
        f"'{environment.key_file}' has a new key, {count} secrets are wrapped by it; running processes use it once they "
        "are started again; older keys stay in the file for what processors have encrypted",
        file=sys.stderr,
    )
    return Exit.COMPLETED
