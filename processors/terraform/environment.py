"""The environment Terraform runs in: an allow-list, what the definition adds, and what this processor needs."""

from collections.abc import Mapping

from runner.errors import Fatal

DATA_FOLDER = ".terraform"

_NAMES = frozenset(
    {
        "HOME", "PATH", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND",
    }
)  # fmt: skip
_PREFIXES = ("AWS_", "ARM_", "GOOGLE_", "VAULT_", "KUBE", "TF_TOKEN_", "LC_")
# Relative to the configuration's folder, so that one environment, and so one warm worker, serves every workspace.
_FIXED = {
    "TF_IN_AUTOMATION": "tierform",
    "TF_INPUT": "0",
    "CHECKPOINT_DISABLE": "1",
    "TF_DATA_DIR": f"../{DATA_FOLDER}",
}


def build(inherited: Mapping[str, str], added: Mapping[str, str] | None = None) -> dict[str, str]:
    """All of Terraform's environment.

    Args:
        inherited: The agent's own environment; what is on the allow-list of it passes.
        added: ``config.environment``, which wins.

    Raises:
        Fatal: ``added`` sets what this processor has to set itself.
    """
    taken = {name: value for name, value in inherited.items() if name in _NAMES or name.startswith(_PREFIXES)}
    added = dict(added or {})
    if clash := sorted(added.keys() & _FIXED.keys()):
        raise Fatal(
            f"reading config.environment: {', '.join(clash)} cannot be set by a definition",
            remedy="take it out: the processor sets it to keep workspaces apart",
        )
    taken.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    return {**taken, **added, **_FIXED}
