"""The ``config`` of an activity definition, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import Fatal

KEYS = (
    "module", "workspace", "backend", "environment", "varFiles", "targets", "parallelism", "sensitive", "version",
    "binary", "lockTimeout", "approval", "policy", "drift",
)  # fmt: skip
_LATER = ("approval", "policy", "drift")
_OFF: tuple[Any, ...] = (None, False, "never", "none", "", {}, [])


@dataclass(frozen=True, slots=True)
class Settings:
    """What a definition asks of this processor.

    Attributes:
        module: A project module's name, or a Terraform source.
        workspace: Template of the workspace's key; empty for the default.
        backend: ``{"type": "local"}`` and what else its block holds, templates not yet rendered.
        environment: Added to Terraform's environment.
        var_files: Files of the module whose values lie under the inputs.
        targets: Addresses; empty for everything.
        parallelism: Operations at a time; None leaves it to Terraform.
        sensitive: Inputs and outputs that are secrets though nobody marked them.
        version: Version constraint of Terraform; empty for any.
        binary: Path or name of an executable; empty for the embedded one.
        lock_timeout: How long Terraform waits for a state lock, ``30s``.
    """

    module: str
    workspace: str = ""
    backend: Mapping[str, Any] = field(default_factory=lambda: {"type": "local"})
    environment: Mapping[str, str] = field(default_factory=dict)
    var_files: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    parallelism: int | None = None
    sensitive: frozenset[str] = frozenset()
    version: str = ""
    binary: str = ""
    lock_timeout: str = ""

    @property
    def is_project_module(self) -> bool:
        """Whether the module is a folder of the project rather than a source for Terraform."""
        return "/" not in self.module and ":" not in self.module


def read(config: Mapping[str, Any]) -> Settings:
    """The settings in a ``config``.

    Raises:
        Fatal: A key is unknown, missing, of a wrong type, or not supported yet.
    """
    if unknown := sorted(config.keys() - set(KEYS)):
        raise Fatal(
            f"reading the activity definition's config: unknown {', '.join(map(repr, unknown))}",
            remedy=f"known keys are {', '.join(KEYS)}",
        )
    for key in _LATER:
        if config.get(key) not in _OFF:
            raise Fatal(
                f"reading config.{key}: {config[key]!r} is not supported yet",
                remedy=f"leave config.{key} out, or set it to 'never'",
            )
    return Settings(
        module=_text(config, "module", required=True),
        workspace=_text(config, "workspace"),
        backend=_backend(config.get("backend")),
        environment={
            str(name): _scalar("environment", value) for name, value in _object(config, "environment").items()
        },
        var_files=_texts(config, "varFiles"),
        targets=_texts(config, "targets"),
        parallelism=_parallelism(config.get("parallelism")),
        sensitive=frozenset(_texts(config, "sensitive")),
        version=_text(config, "version"),
        binary=_text(config, "binary"),
        lock_timeout=_text(config, "lockTimeout"),
    )


def _wrong(key: str, wanted: str, value: Any) -> Fatal:
    return Fatal(f"reading config.{key}: it must be {wanted}, not {value!r}", remedy="mend the activity definition")


def _text(config: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = config.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise _wrong(key, "a string", value)
    return value


def _texts(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = config.get(key) or []
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise _wrong(key, "a list of strings", value)
    return tuple(value)


def _object(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, Mapping):
        raise _wrong(key, "an object", value)
    return value


def _scalar(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _wrong(key, "an object of strings", value)


def _parallelism(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise _wrong("parallelism", "a positive whole number", value)


def _backend(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {"type": "local"}
    if isinstance(value, str) and value:
        return {"type": value}
    if isinstance(value, Mapping) and isinstance(value.get("type"), str) and value["type"]:
        return value
    raise _wrong("backend", "a backend's name or an object with a 'type'", value)
