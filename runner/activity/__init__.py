"""Activities as their processors see them: the context, the result, the extension point."""

from runner.activity.context import ActivityContext, ActivityDetails, ContextChanges, Stopping, StopReason
from runner.activity.processor import (
    ActivityProcessor,
    Cipher,
    Masker,
    Modules,
    ProcessorEnvironment,
    ProcessorFactory,
)
from runner.activity.result import ActivityResult, ResultType

__all__ = [
    "ActivityContext",
    "ActivityDetails",
    "ActivityProcessor",
    "ActivityResult",
    "Cipher",
    "ContextChanges",
    "Masker",
    "Modules",
    "ProcessorEnvironment",
    "ProcessorFactory",
    "ResultType",
    "StopReason",
    "Stopping",
]
