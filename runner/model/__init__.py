"""The resource model: definitions, manifests, orchestrations, their rules, and how they are read from files.

Nothing here has a clock, an environment or a log; `runner.model.loading` alone reads files. The names below are imported
when first asked for, so that a command that needs none of them does not wait for pydantic.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.model.bundle import ActivitySettings, Bundle
    from runner.model.definition import (
        Activity,
        ActivityDefinition,
        InputReference,
        OrchestrationDefinition,
        RetryPolicy,
    )
    from runner.model.definitions import DefinitionSet
    from runner.model.orchestration import Manifest, Orchestration, OrchestrationEntry, OrchestrationState

_HOMES = {
    "Activity": "definition",
    "ActivityDefinition": "definition",
    "ActivitySettings": "bundle",
    "Bundle": "bundle",
    "DefinitionSet": "definitions",
    "InputReference": "definition",
    "Manifest": "orchestration",
    "Orchestration": "orchestration",
    "OrchestrationDefinition": "definition",
    "OrchestrationEntry": "orchestration",
    "OrchestrationState": "orchestration",
    "RetryPolicy": "definition",
}

__all__ = [
    "Activity",
    "ActivityDefinition",
    "ActivitySettings",
    "Bundle",
    "DefinitionSet",
    "InputReference",
    "Manifest",
    "Orchestration",
    "OrchestrationDefinition",
    "OrchestrationEntry",
    "OrchestrationState",
    "RetryPolicy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
