"""From a module's folder to a workspace's configuration folder."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.terraform.templates import render, used_names
from runner.errors import Fatal

TEMPLATE_SUFFIX = ".j2"
_SKIPPED_FOLDERS = frozenset({".terraform", ".git"})
_SKIPPED_SUFFIXES = (".tfstate", ".tfstate.backup")
LOCK_FILE = ".terraform.lock.hcl"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration folder just written.

    Attributes:
        template_names: Top-level names that its templates used.
        digest: SHA-256 over the names and contents of all files.
    """

    template_names: frozenset[str]
    digest: str


def render_module(source: Path, target: Path, values: Mapping[str, Any], secrets: frozenset[str]) -> Rendered:
    """Copy ``source`` into the new folder ``target``, rendering what ends in ``.j2``.

    Args:
        source: The module's folder.
        target: Must not exist; only its owner can read it.
        values: The names templates may use.
        secrets: Names of secret inputs: a template that uses one would write it to disk.

    Raises:
        Fatal: A template fails or uses a secret, or a file cannot be had in a workspace.
    """
    target.mkdir(mode=0o700)
    names: frozenset[str] = frozenset()
    for path in sorted(_files(source)):
        relative = path.relative_to(source)
        destination = target / relative
        destination.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.name.endswith(TEMPLATE_SUFFIX):
            names |= _render_file(path, str(relative), destination, values, secrets)
        else:
            shutil.copyfile(path, destination)
        destination.with_name(destination.name.removesuffix(TEMPLATE_SUFFIX)).chmod(
            0o700 if os.access(path, os.X_OK) else 0o600
        )
    return Rendered(template_names=names, digest=digest_of(target))


def digest_of(folder: Path, *, pattern: str = "*") -> str:
    """SHA-256 over the names and contents of the files in ``folder`` that match, at any depth."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        if path.is_file():
            content = path.read_bytes()
            total.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            total.update(content)
    return f"sha256:{total.hexdigest()}"


def _files(source: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        for name in files:
            path = Path(folder, name)
            if name.endswith(_SKIPPED_SUFFIXES):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(source.resolve()):
                raise Fatal(
                    f"copying the module's file {str(path.relative_to(source))!r}: it is a link out of the module",
                    remedy="put the file itself into the module",
                )
            yield path


def _render_file(
    path: Path, called: str, destination: Path, values: Mapping[str, Any], secrets: frozenset[str]
) -> frozenset[str]:
    source = _text(path, called)
    names = used_names(source)
    if exposed := sorted(names & secrets):
        raise Fatal(
            f"rendering {called}: it uses the secret {', '.join(map(repr, exposed))}, which would then be on disk",
            remedy="declare a sensitive Terraform variable of that name and use it instead of the template",
        )
    target = destination.with_name(destination.name.removesuffix(TEMPLATE_SUFFIX))
    if target.exists() or path.with_name(target.name).exists():
        raise Fatal(f"rendering {called}: the module also has a file {target.name!r}", remedy="keep one of the two")
    target.write_text(render(source, values, called=called), encoding="utf-8")
    return names


def _text(path: Path, called: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Fatal(f"rendering {called}: it is not UTF-8", remedy="templates must be UTF-8 text") from error
