"""Renews the hashed lock files: ``python requirements/lock.py`` (needs uv on PATH or in the environment).

The files hold names, versions, markers and hashes, never a download address.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
EDITABLE = ["editables"]  # What hatchling needs for `pip install --editable`.
COMMON = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]


def compile_lock(requirements: list[str], target: Path, constraints: list[Path]) -> None:
    """Write one lock file for ``requirements`` (PEP 508 strings), within the versions of ``constraints``."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "requirements.in"
        source.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        limits = [option for path in constraints for option in ("--constraint", str(path))]
        command = [sys.executable, "-m", "uv", "pip", "compile", *COMMON, *limits, str(source), "-o", str(target)]
        subprocess.run(command, check=True)


def main() -> None:
    """Lock the build back end, the run-time dependencies and, within those, the development tools."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = HERE / "runtime.txt"
    build = HERE / "build.txt"
    compile_lock([*project["build-system"]["requires"], *EDITABLE], build, [])
    compile_lock(project["project"]["dependencies"], runtime, [])
    compile_lock(project["dependency-groups"]["dev"], HERE / "dev.txt", [runtime, build])


if __name__ == "__main__":
    main()
