"""The project folder, its modules, and the data folder."""

from runner.project.datadir import DataDir
from runner.project.folder import Project, is_project_module
from runner.project.modules import digest, module_files, pack, unpack
from runner.project.store import ModuleStore

__all__ = ["DataDir", "ModuleStore", "Project", "digest", "is_project_module", "module_files", "pack", "unpack"]
