"""The key file: where it is, how it comes to be, which keys it holds.

Theory of operation
-------------------
A key file is text: one key per line, 32 random bytes in base64, so ``openssl rand -base64 32`` makes a valid one. Empty
lines and lines that start with ``#`` are comments. The first key is the primary: it encrypts. All of them decrypt. A
key's id is derived from the key, so the same key has the same id on every host, and a file needs no ids that could be
mixed up. From each key two others are derived, one that wraps data keys and one that makes fingerprints; the bytes in
the file are used for nothing else.

The file is created at first use: written whole into a temporary file, then linked under its name, which exactly one of
many processes can do; the others read what that one wrote. Rotation replaces the file by rename while it holds a lock on
it. At no instant can a reader see half a file.

Nothing here reads the environment: the path, or what the default is made of, comes in.
"""

import base64
import binascii
import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runner.errors import InvalidUsage, Refused

KEY_BYTES = 32
_LARGEST_FILE_BYTES = 64 * 1024
_HEADER = (
    "# Tierform key file. Whoever has it can read every secret that Tierform stored; without it nobody can.\n"
    "# Keep a copy in a safe place. One key per line: the first encrypts, all of them decrypt.\n"
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file, with what is derived from it.

    Attributes:
        id: 16 hexadecimal digits, derived from the key; not secret.
        wrapping: Wraps data keys; 32 bytes.
        fingerprinting: Makes fingerprints; 32 bytes.
    """

    id: str
    wrapping: bytes = field(repr=False)
    fingerprinting: bytes = field(repr=False)

    @classmethod
    def derive(cls, material: bytes) -> "Key":
        """The key made from 32 bytes of the file."""
        return cls(
            id=_derived(material, b"id")[:8].hex(),
            wrapping=_derived(material, b"wrapping"),
            fingerprinting=_derived(material, b"fingerprinting"),
        )


def _derived(material: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"tierform v1 " + use).derive(material)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one key file, the primary first; never empty."""

    keys: tuple[Key, ...]

    @property
    def primary(self) -> Key:
        """The key that encrypts."""
        return self.keys[0]

    def find(self, key_id: str) -> Key | None:
        """The key of that id, or None when the file does not hold it."""
        return next((key for key in self.keys if key.id == key_id), None)

    def fingerprint(self, data: bytes) -> str:
        """A keyed fingerprint under the primary key, 64 hexadecimal digits.

        Equal data has equal fingerprints until the key is rotated; without the key nobody can guess data and check.
        """
        return hmac.new(self.primary.fingerprinting, data, hashlib.sha256).hexdigest()


def default_key_file(home: Path, xdg_config_home: str = "") -> Path:
    """``~/.config/tierform/key``, or below ``XDG_CONFIG_HOME`` when that is an absolute path, as its standard says."""
    folder = Path(xdg_config_home) if xdg_config_home.startswith("/") else home / ".config"
    return folder / "tierform" / "key"


def open_key_file(path: Path, *, data_dir: Path) -> Keyring:
    """Read the key file; make it with one new key when there is none.

    Safe for many processes at once: all of them return the same keys.

    Raises:
        runner.errors.Refused: It lies inside the data folder, belongs to someone else, or others can read it.
        runner.errors.InvalidUsage: It can't be made or read, or its text is not a key file's.
    """
    _refuse_inside(path, data_dir)
    with _explained(path, "opening"):
        target = _target(path)
        if not target.exists():
            _create(target)
        return _parse(path, _read(target))


def rotate(path: Path, *, data_dir: Path) -> Keyring:
    """Put a new primary key in front of those the file holds; what the old ones encrypted can still be read.

    New values are encrypted under the new key at once by processes that open the file from now on. Re-wrap what is
    stored (`SecretStore.rewrap`) before an old key's line is removed.

    Raises:
        runner.errors.Refused: As for `open_key_file`.
        runner.errors.InvalidUsage: As for `open_key_file`, or the file can't be replaced, such as a mounted one.
    """
    open_key_file(path, data_dir=data_dir)
    with _explained(path, "rotating"), _locked(_target(path)) as target:
        old = _materials(path, _read(target))
        text = _text([secrets.token_bytes(KEY_BYTES), *old])
        temporary = _write_temporary(target.parent, text)
        temporary.replace(target)
        _sync_folder(target.parent)
        return _parse(path, text)


def _target(path: Path) -> Path:
    """The file itself, behind any links; never raises, unlike `Path.resolve` for links in a circle."""
    return Path(os.path.realpath(path))


def _refuse_inside(path: Path, data_dir: Path) -> None:
    for place in (path.absolute(), _target(path)):
        if place.is_relative_to(data_dir.absolute()) or place.is_relative_to(_target(data_dir)):
            raise Refused(
                f"the key file '{path}' lies inside the data folder '{data_dir}': whoever copies the data would have "
                "the key to it",
                remedy="move the key file elsewhere and name it in TIERFORM_KEY_FILE",
            )


@contextmanager
def _explained(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.filename not in {None, str(path)}:
            reason += f" ('{error.filename}')"
        raise InvalidUsage(
            f"{doing} the key file '{path}': {reason}",
            remedy="name a file of your own, on a disk with hard links and room, in TIERFORM_KEY_FILE",
        ) from error


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = _write_temporary(path.parent, _text([secrets.token_bytes(KEY_BYTES)]))
    try:
        with suppress(FileExistsError):  # Another process was first: its key counts.
            os.link(temporary, path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write_temporary(folder: Path, text: str) -> Path:
    temporary = folder / f".key-{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)  # Whatever the umask says.
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Hold the lock of the file that has the name now; a rotation by someone else gives the name to another file."""
    while True:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield path
                return


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _refuse_exposed(path, os.fstat(descriptor))
        data = os.read(descriptor, _LARGEST_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST_FILE_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("ascii", "replace")


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"the key file '{path}' is not a regular file", remedy="name a file in TIERFORM_KEY_FILE")
    user = os.geteuid()
    if status.st_uid not in {user, 0}:
        raise Refused(
            f"the key file '{path}' belongs to another user (uid {status.st_uid}; this process runs as {user})",
            remedy=f"make it your own: chown {user} '{path}'",
        )
    # A file that root lends to our group is how Kubernetes mounts a secret for a process that is not root.
    allowed = 0o700 if status.st_uid == user else 0o740
    if stat.S_IMODE(status.st_mode) & ~allowed:
        raise Refused(
            f"the key file '{path}' is open to other users (mode {stat.S_IMODE(status.st_mode):04o})",
            remedy=f"close it: chmod 600 '{path}'; if others could have read it, rotate the key as well",
        )


def _text(materials: Sequence[bytes]) -> str:
    return _HEADER + "".join(base64.b64encode(material).decode("ascii") + "\n" for material in materials)


def _materials(path: Path, text: str) -> list[bytes]:
    found: list[bytes] = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            found.append(_material(path, number, entry))
    if not found:
        raise InvalidUsage(
            f"the key file '{path}' holds no key",
            remedy="restore it from your copy; or remove it, if nothing encrypted is to be read again",
        )
    return list(dict.fromkeys(found))


def _material(path: Path, number: int, entry: str) -> bytes:
    try:
        material = base64.b64decode(entry, validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if len(material) != KEY_BYTES:
        raise InvalidUsage(
            f"{path}:{number}: a key is {KEY_BYTES} bytes in base64, this line is not",
            remedy="restore the file from your copy, or make a key with: openssl rand -base64 32",
        )
    return material


def _parse(path: Path, text: str) -> Keyring:
    return Keyring(tuple(Key.derive(material) for material in _materials(path, text)))
