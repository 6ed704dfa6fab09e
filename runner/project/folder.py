"""The project folder: where definitions, modules and data are."""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from runner.errors import Refused, UnknownThing
from runner.project.datadir import DEFAULT_NAME, DataDir
from runner.project.disk import disk_error, disk_errors_explained

_DEFINITIONS = (".json", ".yaml", ".yml")
_SHOWN_NAMES = 20
_SHOWN_CHARACTERS = 80
_NAME = re.compile(r"[^/\\:\x00-\x1f]+")


def is_project_module(source: str) -> bool:
    """Whether a definition's ``module`` names a folder of the project: it has no slash and no scheme.

    Anything else is a source for Terraform to fetch.
    """
    return "/" not in source and "\\" not in source and ":" not in source


@dataclass(frozen=True, slots=True)
class Project:
    """One project folder; absolute.

    Attributes:
        root: Has ``orchestrations/`` and ``modules/``, either may be missing.
        data: The data folder, ``.tierform`` in it unless another one is named.
    """

    root: Path
    data: DataDir

    @classmethod
    def at(cls, root: Path, data_dir: Path | None = None) -> "Project":
        """The project at ``root``; nothing is touched.

        Raises:
            runner.errors.UnknownThing: ``root`` is not a folder.
        """
        if not root.is_dir():
            raise UnknownThing(
                f"opening the project '{root}': there is no such folder",
                remedy=f"name another with --project, or make one with: tierform new '{root}'",
            )
        return cls(root.absolute(), DataDir.at(data_dir or root / DEFAULT_NAME))

    @property
    def orchestrations(self) -> Path:
        """Where definitions are."""
        return self.root / "orchestrations"

    @property
    def modules(self) -> Path:
        """Where module folders are."""
        return self.root / "modules"

    def orchestration_files(self) -> tuple[Path, ...]:
        """Every JSON and YAML file under ``orchestrations/`` at any depth, sorted; none without that folder.

        Hidden files and folders are left out, and linked folders: a mounted ConfigMap would show each file twice.

        Raises:
            runner.errors.InvalidUsage: A folder can't be read.
        """
        found: list[Path] = []
        for folder, folders, files in os.walk(self.orchestrations, onerror=self._unreadable):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(folder, name) for name in files if _is_definition(name)]
        return tuple(sorted(found))

    def module_names(self) -> tuple[str, ...]:
        """The names of the folders in ``modules/``, sorted."""
        with disk_errors_explained(f"listing the modules in '{self.modules}'"):
            if not self.modules.is_dir():
                return ()
            entries = sorted(self.modules.iterdir())
        return tuple(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))

    def module_folder(self, name: str) -> Path:
        """The folder of a module of this project.

        Raises:
            runner.errors.UnknownThing: There is none of that name; the detail lists those there are.
            runner.errors.Refused: The name leads out of ``modules/``, by itself or through a link.
        """
        shown = name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "…"
        if name.startswith(".") or not _NAME.fullmatch(name):
            raise Refused(
                f"finding module {shown!r}: it is not the name of a folder in '{self.modules}'",
                remedy="name a folder there without dots in front and without slashes",
            )
        names = self.module_names()
        if name not in names:
            raise self._unknown(shown, names)
        folder = (self.modules / name).resolve()
        if not folder.is_relative_to(self.modules.resolve()):
            raise Refused(
                f"finding module '{shown}': it is a link that leads out of '{self.modules}', to '{folder}'",
                remedy="copy the module into the folder",
            )
        return folder

    def _unknown(self, name: str, names: tuple[str, ...]) -> UnknownThing:
        there = ", ".join(names[:_SHOWN_NAMES]) + (
            f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        )
        close = difflib.get_close_matches(name, names, n=1)
        remedy = f"did you mean '{close[0]}'?" if close else "name one of these, or add a folder of that name"
        return UnknownThing(
            f"finding module {name!r}: there is none in '{self.modules}', which has {there or 'no modules'}",
            remedy=remedy,
        )

    def _unreadable(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise disk_error(error, f"reading the definitions in '{self.orchestrations}'") from error


def _is_definition(name: str) -> bool:
    return name.lower().endswith(_DEFINITIONS) and not name.startswith(".")
