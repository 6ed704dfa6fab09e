"""What the environment says: the one module that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.secrets.keys import default_key_file


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """Settings that are not options of a command.

    Attributes:
        key_file: ``TIERFORM_KEY_FILE``, else ``key`` below the user's configuration folder.
        nats_token: ``TIERFORM_NATS_TOKEN``, for a server of one's own.
        nats_credentials: ``TIERFORM_NATS_CREDS``, path of a credentials file, likewise.
        nats_user: ``TIERFORM_NATS_USER``, likewise.
        nats_password: ``TIERFORM_NATS_PASSWORD``, likewise.
        prefix: ``TIERFORM_PREFIX``, first token of every subject.
        concurrency: ``TIERFORM_CONCURRENCY``, activities at once in one agent; 0 when not set.
        archive_seconds: ``TIERFORM_ARCHIVE_SECONDS``, how long after its end an orchestration goes to the archive; None
            when not set.
        user: Who is logged in, for histories.
        ci: Whether ``CI`` is set.
    """

    key_file: Path
    nats_token: str | None = None
    nats_credentials: str | None = None
    nats_user: str | None = None
    nats_password: str | None = None
    prefix: str = "tierform"
    concurrency: int = 0
    archive_seconds: int | None = None
    user: str = ""
    ci: bool = False


def read_environment(environment: Mapping[str, str] | None = None) -> EnvironmentSettings:
    """The settings in ``environment``, this process's own when not given."""
    found = os.environ if environment is None else environment
    home = Path(found.get("HOME") or Path.home())
    key_file = found.get("TIERFORM_KEY_FILE")
    concurrency = found.get("TIERFORM_CONCURRENCY", "")
    archive_seconds = found.get("TIERFORM_ARCHIVE_SECONDS", "")
    return EnvironmentSettings(
        key_file=Path(key_file) if key_file else default_key_file(home, found.get("XDG_CONFIG_HOME", "")),
        nats_token=found.get("TIERFORM_NATS_TOKEN"),
        nats_credentials=found.get("TIERFORM_NATS_CREDS"),
        nats_user=found.get("TIERFORM_NATS_USER"),
        nats_password=found.get("TIERFORM_NATS_PASSWORD"),
        prefix=found.get("TIERFORM_PREFIX") or "tierform",
        concurrency=int(concurrency) if concurrency.isdigit() else 0,
        archive_seconds=int(archive_seconds) if archive_seconds.isdigit() else None,
        user=found.get("USER") or found.get("LOGNAME") or "",
        ci=bool(found.get("CI")),
    )
