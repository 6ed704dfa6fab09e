"""The data folder: what Tierform keeps on this host.

Layout::

    .tierform/            0700 when Tierform makes it; an existing folder's mode is left alone
    ├── .gitignore        keeps the folder out of version control
    ├── nats/             the embedded server's streams
    ├── workspaces/       one folder per Terraform workspace
    ├── cache/            what can be had again: module folders, providers
    └── logs/             what the processes of this host said

The folders in it are 0700, whoever made the data folder.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from runner.errors import InvalidUsage
from runner.project.disk import disk_errors_explained

DEFAULT_NAME = ".tierform"
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class DataDir:
    """The folders below one data folder; absolute."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "DataDir":
        """The layout below ``root``; nothing is touched."""
        return cls(root.absolute())

    @property
    def nats(self) -> Path:
        """The embedded server's."""
        return self.root / "nats"

    @property
    def workspaces(self) -> Path:
        """One folder per Terraform workspace."""
        return self.root / "workspaces"

    @property
    def cache(self) -> Path:
        """What can be had again; safe to remove while nothing runs."""
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        """What processes said."""
        return self.root / "logs"

    def create(self) -> None:
        """Make what is missing; safe for many processes at once, and to repeat.

        Raises:
            runner.errors.InvalidUsage: A part of it can't be made or written, or is no folder.
            runner.errors.Unreachable: The disk is full.
        """
        with disk_errors_explained(f"making the data folder '{self.root}'"):
            if not self.root.exists():
                self.root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
                _write_gitignore(self.root / ".gitignore")
            for folder in (self.nats, self.workspaces, self.cache, self.logs):
                folder.mkdir(mode=_PRIVATE, exist_ok=True)
                self._refuse_unwritable(folder)

    def _refuse_unwritable(self, folder: Path) -> None:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise InvalidUsage(
                f"opening the data folder '{self.root}': '{folder}' is not writable for this user",
                remedy=f"run as the user who owns it, give it to this one (chown -R {os.geteuid()} '{self.root}'), or "
                "name another with --data-dir",
            )


def _write_gitignore(path: Path) -> None:
    """Write through one small write: another process that makes the folder at the same time writes the same."""
    path.write_text("# Made by Tierform: state and logs are not for version control.\n*\n", encoding="ascii")
