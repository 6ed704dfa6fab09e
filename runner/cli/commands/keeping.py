"""``purge``, ``backup`` and ``restore``: what is kept, and for how long."""

import re
import sys
from datetime import timedelta
from pathlib import Path

from runner.assembly.backup import back_up
from runner.assembly.backup_file import open_backup
from runner.assembly.installation import Installation, now_millis, open_installation
from runner.assembly.restore import Restore
from runner.cli.exits import Exit
from runner.cli.session import configure_log, open_project, run_async
from runner.errors import InvalidUsage, Refused
from runner.interpreter.retention import Retention

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"(\d+)([smhd])")


def parse_age(text: str) -> timedelta:
    """``30d``, ``12h``, ``30m`` or ``90s``; raises InvalidUsage for anything else."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise InvalidUsage(f"reading --older-than '{text}'", remedy="write it as 30d, 12h, 30m or 90s")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def purge_command(
    older_than: str | None, keep: int | None, project_folder: Path, data_dir: Path | None, nats: str | None
) -> Exit:
    """Remove orchestrations that have ended, with their responses, journals and secrets."""
    if older_than is None and keep is None:
        raise InvalidUsage(
            "removing orchestrations: nothing says which", remedy="give --older-than 30d, or --keep 1000"
        )
    age = parse_age(older_than) if older_than is not None else None
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)

    async def work() -> int:
        async with open_installation(project, nats, environment) as installation:
            store = installation.orchestrations
            for token in await store.hot_ids():
                await store.archive_ended(token)
            secrets = installation.store
            retention = Retention(installation.messaging, installation.subjects, store, secrets.delete_owner)
            return await retention.enforce(now_millis(), older_than=age, keep=keep)

    print(f"removed: {run_async(work())}", file=sys.stderr)
    return Exit.COMPLETED


def backup_command(path: Path, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Write everything that the installation holds into one file."""
    project, environment = open_project(project_folder, data_dir)
    configure_log(project)
    place = path.absolute()
    if not place.parent.is_dir():
        raise InvalidUsage(f"writing the backup '{path}': there is no folder '{place.parent}'")

    async def work() -> int:
        async with open_installation(project, nats, environment) as installation:
            await back_up(installation.messaging, installation.subjects.prefix, project.data, place)
            return len(await installation.orchestrations.ids())

    count = run_async(work())
    print(f"'{path}' holds the installation, {count} orchestrations; it does not hold the key file", file=sys.stderr)
    print(f"  → keep a copy of '{environment.key_file}' elsewhere: the secrets need it", file=sys.stderr)
    return Exit.COMPLETED


def restore_command(path: Path, force: bool, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Put a backup into an empty installation."""
    with open_backup(path) as backup:
        project, environment = open_project(project_folder, data_dir)
        configure_log(project)

        async def work() -> None:
            async with open_installation(project, nats, environment) as installation:
                restore = Restore(installation.messaging, installation.subjects, project.data, backup)
                await restore.run(force=force)
                await _warn_of_another_key(installation)

        run_async(work())
        counts = backup.manifest["counts"]
    told = ", ".join(f"{count} {name.removesuffix('.jsonl')}" for name, count in counts.items() if count)
    print(f"restored: {told or 'nothing: the backup is empty'}", file=sys.stderr)
    return Exit.COMPLETED


async def _warn_of_another_key(installation: Installation) -> None:
    keys = await installation.messaging.documents("secrets").keys("value/")
    try:
        for key in keys[:1]:
            await installation.store.get(key.removeprefix("value/"))
    except Refused as error:
        print(f"warning: the secrets can't be read: {error}", file=sys.stderr)
        print(
            f"  → bring back the key file that belongs to the backup: '{installation.environment.key_file}'",
            file=sys.stderr,
        )
