"""What an activity's discriminator asks for."""

from enum import StrEnum

from runner.errors import Fatal


class Operation(StrEnum):
    """What a run does to its workspace."""

    DEPLOY = "deploy"
    DISPOSE = "dispose"
    PLAN = "plan"


_BY_DISCRIMINATOR = {
    "": Operation.DEPLOY,
    "deploy": Operation.DEPLOY,
    "apply": Operation.DEPLOY,
    "cfm.orchestration.vpa.deploy": Operation.DEPLOY,
    "dispose": Operation.DISPOSE,
    "destroy": Operation.DISPOSE,
    "cfm.orchestration.vpa.dispose": Operation.DISPOSE,
    "plan": Operation.PLAN,
}


def operation_of(discriminator: str) -> Operation:
    """The operation a discriminator stands for.

    Raises:
        Fatal: It stands for none.
    """
    try:
        return _BY_DISCRIMINATOR[discriminator]
    except KeyError:
        known = ", ".join(name for name in _BY_DISCRIMINATOR if name)
        raise Fatal(
            f"reading the discriminator {discriminator!r}: the terraform processor does not support it",
            remedy=f"use one of {known}, or none for deploy",
        ) from None
