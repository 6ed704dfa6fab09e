"""The backend block of a workspace."""

from collections.abc import Mapping
from typing import Any

from processors.terraform.templates import render
from runner.errors import Fatal

STATE_FILE = "terraform.tfstate"
BACKEND_FILE = "tierform_backend_override.tf.json"

# What tells one workspace's state from another's, where the definition does not say.
_KEYS = {
    "s3": ("key", "tierform/{{ workspace }}/terraform.tfstate"),
    "azurerm": ("key", "tierform/{{ workspace }}/terraform.tfstate"),
    "gcs": ("prefix", "tierform/{{ workspace }}"),
    "oss": ("prefix", "tierform/{{ workspace }}"),
    "cos": ("prefix", "tierform/{{ workspace }}"),
    "consul": ("path", "tierform/{{ workspace }}"),
}
_SECRETS = frozenset(
    {
        "access_key", "secret_key", "token", "session_token", "password", "client_secret", "client_certificate_password",
        "sas_token", "access_token", "credentials", "encryption_key", "sse_customer_key", "conn_str", "http_auth",
    }
)  # fmt: skip


def block(
    backend: Mapping[str, Any], values: Mapping[str, Any], *, workspace: str, single_host: bool
) -> dict[str, Any]:
    """The content of the generated override file, ``{"terraform": {"backend": {TYPE: {…}}}}``.

    An override replaces whatever backend or cloud block the module itself has.

    Args:
        backend: ``config.backend``.
        values: The names that templates in it may use.
        workspace: The workspace's encoded name, ``workspace`` in those templates.
        single_host: Whether a local state is seen by every agent.

    Raises:
        Fatal: State would be lost or shared, or a credential would land in a file.
    """
    kind = backend["type"]
    if kind == "local":
        _require_single_host(single_host=single_host)
        # Beside the configuration, which is replaced as a whole by every run.
        return _override("local", {"path": f"../{STATE_FILE}"})
    if kind in {"cloud", "remote"}:
        raise Fatal(
            f"choosing config.backend {kind!r}: it runs Terraform elsewhere, on its own terms",
            remedy="use a backend that stores state, such as s3, gcs, azurerm, pg, http or local",
        )
    attributes = {key: value for key, value in backend.items() if key != "type"}
    if kind in _KEYS:
        attributes.setdefault(*_KEYS[kind])
    if kind == "s3":
        attributes.setdefault("use_lockfile", True)
    _check(kind, attributes)
    return _override(kind, _rendered(attributes, {**values, "workspace": workspace}, "config.backend"))


def _override(kind: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"terraform": {"backend": {kind: attributes}}}


def _require_single_host(*, single_host: bool) -> None:
    if not single_host:
        raise Fatal(
            "choosing config.backend 'local': agents on other hosts would not see the state",
            remedy="use a backend that all agents reach, such as s3",
        )


def _check(kind: str, attributes: Mapping[str, Any]) -> None:
    if secret := sorted(attributes.keys() & _SECRETS):
        raise Fatal(
            f"reading config.backend: {', '.join(secret)} would be written to disk by Terraform",
            remedy="give the credentials in the environment of the agent, such as AWS_ACCESS_KEY_ID",
        )
    if not any("{{" in text for text in _strings(attributes)):
        raise Fatal(
            f"reading config.backend {kind!r}: every workspace would have the same state",
            remedy="use '{{ workspace }}' in what names the state, such as a key, a path or an address",
        )


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]
    return []


def _rendered(value: Any, values: Mapping[str, Any], called: str) -> Any:
    if isinstance(value, str):
        return _literal(render(value, values, called=called), called)
    if isinstance(value, Mapping):
        return {key: _rendered(item, values, f"{called}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(item, values, called) for item in value]
    return value


def _literal(text: str, called: str) -> str:
    # Terraform takes strings of a backend block in JSON as they are, OpenTofu evaluates them.
    if "${" in text or "%{" in text:
        raise Fatal(
            f"rendering {called}: {text!r} would be an expression",
            remedy="take the '${' or '%{' out of the inputs it uses",
        )
    return text
