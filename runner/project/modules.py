"""Module folders as archives: packed the same everywhere, unpacked safely.

An archive is a tar file of the module's files and nothing else, sorted, with all that differs between two copies of the
same files (times, owners, modes but for the executable bit) taken out. It is not compressed: compressors differ between
hosts, and the digest of the archive is the module's identity.

Source: docs/decisions/module-archives.md.
"""

import fnmatch
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from runner.errors import Refused, UnknownThing
from runner.project.disk import disk_errors_explained

LARGEST_BYTES = 32 * 1024 * 1024
MOST_FILES = 10_000
_LEFT_OUT = (
    *(".terraform", ".terragrunt-cache", ".tierform", ".git", ".hg", ".svn", ".idea", ".vscode", "__pycache__"),
    *("*.tfstate", "*.tfstate.*", "*.tfplan", ".terraformrc", "terraform.rc", "crash.log", "crash.*.log"),
    *("*~", "*.swp", "*.swo", ".#*", "#*#", ".DS_Store"),
)


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """One file of a module.

    Attributes:
        name: Its path in the module, with slashes.
        path: Where its bytes are.
        size_bytes: As the file system says.
        executable: Whether its owner may execute it.
    """

    name: str
    path: Path
    size_bytes: int
    executable: bool


def module_files(folder: Path) -> list[ModuleFile]:
    """The files that make up a module, sorted by name.

    Left out are Terraform's own state and caches, version control and editors' files; ``.terraform.lock.hcl`` and
    ``*.tfvars`` belong to the module. Links are followed inside of the folder.

    Raises:
        runner.errors.UnknownThing: There is no such folder.
        runner.errors.Refused: A link leads out of it, nowhere or in a circle; something is neither a file nor a folder; or
            there are more than 10,000 files or 32 MiB.
        runner.errors.InvalidUsage: Something in it can't be read.
    """
    if not folder.is_dir():
        raise UnknownThing(f"packing the module '{folder}': there is no such folder")
    root = folder.resolve()
    with disk_errors_explained(f"packing the module '{folder}'"):
        walk = _walk(root, root, PurePosixPath(), (root,))
        files = sorted(islice(walk, MOST_FILES + 1), key=lambda file: file.name)
    _refuse_large(folder, files)
    return files


def pack(folder: Path) -> bytes:
    """The module's archive: the same bytes for the same files, on every host.

    Raises:
        runner.errors.TierformError: As for `module_files`.
    """
    files = module_files(folder)
    buffer = io.BytesIO()
    with (
        disk_errors_explained(f"packing the module '{folder}'"),
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in files:
            content = file.path.read_bytes()
            entry = tarfile.TarInfo(file.name)
            entry.size = len(content)
            entry.mode = 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def unpack(data: bytes, target: Path) -> None:
    """Write an archive's files, read-only, into a folder that does not exist yet.

    On an error, what was written is left to the caller to remove.

    Raises:
        runner.errors.Refused: It is no archive, or an entry is not a file inside of the folder.
        runner.errors.Unreachable: The disk is full.
        runner.errors.InvalidUsage: The folder can't be written, or exists.
    """
    entries = _entries(data, target)
    with disk_errors_explained(f"unpacking a module into '{target}'"):
        target.mkdir(mode=0o700, parents=True)
        for name, (content, mode) in entries.items():
            _write(target / name, content, mode)
        for folder, _, _ in os.walk(target, topdown=False):
            Path(folder).chmod(0o555)


def _walk(folder: Path, root: Path, name: PurePosixPath, above: tuple[Path, ...]) -> Iterator[ModuleFile]:
    for entry in folder.iterdir():
        if any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in _LEFT_OUT):
            continue
        inner = name / entry.name
        path = _followed(entry, root, inner)
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            if path in above:
                raise _refused(root, f"the link '{inner}' leads in a circle", "remove the link")
            yield from _walk(path, root, inner, (*above, path))
        elif stat.S_ISREG(status.st_mode):
            yield ModuleFile(str(inner), path, status.st_size, bool(status.st_mode & stat.S_IXUSR))
        else:
            raise _refused(root, f"'{inner}' is neither a file nor a folder", "remove it from the module")


def _followed(entry: Path, root: Path, name: PurePosixPath) -> Path:
    if not entry.is_symlink():
        return entry
    path = Path(os.path.realpath(entry))
    if not path.is_relative_to(root):
        raise _refused(root, f"the link '{name}' leads out of it, to '{path}'", "copy what it points to")
    if not path.exists():
        raise _refused(root, f"the link '{name}' leads nowhere", "remove the link, or restore what it points to")
    return path


def _refuse_large(folder: Path, files: list[ModuleFile]) -> None:
    remedy = "move what is not part of the module out of its folder"
    if len(files) > MOST_FILES:
        raise _refused(folder, f"it has more than {MOST_FILES} files", remedy)
    total = sum(file.size_bytes for file in files)
    if total > LARGEST_BYTES:
        largest = sorted(files, key=lambda file: -file.size_bytes)[:3]
        sizes = ", ".join(f"'{file.name}' {file.size_bytes} bytes" for file in largest)
        what = f"its files are {total} bytes, {LARGEST_BYTES} are allowed; the largest are {sizes}"
        raise _refused(folder, what, remedy)


def _refused(folder: Path, what: str, remedy: str) -> Refused:
    return Refused(f"packing the module '{folder}': {what}", remedy=remedy)


def _entries(data: bytes, target: Path) -> dict[str, tuple[bytes, int]]:
    entries: dict[str, tuple[bytes, int]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for entry in archive:
                name = _name(entry, known=entries)
                mode = 0o555 if entry.mode & stat.S_IXUSR else 0o444
                entries[name] = (_content(archive, entry), mode)
    except (tarfile.TarError, ValueError) as error:
        raise Refused(f"unpacking a module into '{target}': its archive is damaged: {error}") from error
    return entries


def _name(entry: tarfile.TarInfo, known: Container[str]) -> str:
    name = PurePosixPath(entry.name)
    inside = bool(name.parts) and not name.is_absolute() and ".." not in name.parts and "\0" not in entry.name
    if not inside or not entry.isreg() or entry.issparse() or str(name) in known:
        raise tarfile.ReadError(f"{entry.name!r} is not a file inside of it, or is there twice")
    return str(name)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    content = file.read() if file else b""
    if len(content) != entry.size:
        raise tarfile.ReadError(f"{entry.name!r} is cut short")
    return content


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
