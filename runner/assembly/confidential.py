"""Secrets between the store, the masker and an agent."""

from collections.abc import Iterable
from typing import Any

from runner.model.sensitivity import sensitive_paths
from runner.secrets.masking import SecretMasker
from runner.secrets.store import SecretStore


class Confidential:
    """Reveals what an activity needs, and conceals what it made; whatever passes is masked from then on.

    Args:
        store: Where secrets are.
        masker: Learns every one of them.
    """

    def __init__(self, store: SecretStore, masker: SecretMasker) -> None:
        self._store = store
        self._masker = masker

    async def reveal(self, value: Any, *, owner: str) -> tuple[Any, list[Any]]:
        """The value with the owner's references replaced by secrets, and the secrets."""
        revealed = await self._store.reveal(value, owner=owner)
        for secret in revealed.secrets:
            self._masker.register(secret)
        return revealed.value, revealed.secrets

    async def conceal_outputs(self, values: dict[str, Any], names: Iterable[str], schema: Any, owner: str) -> Any:
        """The values with the named ones, and those the schema marks sensitive, replaced by references."""
        paths = [*((name,) for name in names), *(sensitive_paths(schema, values) if schema else ())]
        return await self.conceal(values, paths, owner=owner, place="context")

    async def conceal_inputs(self, values: dict[str, Any], schema: Any, owner: str) -> Any:
        """Inputs with what the schema marks sensitive replaced by references."""
        return await self.conceal(values, sensitive_paths(schema, values) if schema else (), owner=owner, place="input")

    async def conceal(self, values: Any, paths: Iterable[Any], *, owner: str, place: str) -> Any:
        """The values with the parts at ``paths`` replaced by references."""
        listed = list(paths)
        if not listed:
            return values
        for path in listed:
            part = values
            for key in path:
                part = part[key]
            self._masker.register(part)
        return await self._store.conceal(values, listed, owner=owner, place=place)
