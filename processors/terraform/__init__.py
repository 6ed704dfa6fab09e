"""The Terraform processor: renders a module into a workspace, plans, applies and destroys it."""

from collections.abc import Mapping
from typing import Any

from runner.activity import ActivityProcessor, ProcessorEnvironment


def create(environment: ProcessorEnvironment) -> ActivityProcessor:
    """Make the processor; nothing is started yet. The entry point ``terraform`` of ``tierform.processors``."""
    from processors.terraform.processor import TerraformProcessor  # noqa: PLC0415 - the package's parts import each other

    return TerraformProcessor(environment)


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a ``config`` that no run could carry out. The entry point ``terraform`` of ``tierform.config_checks``.

    Raises:
        runner.errors.Fatal: A key is unknown, missing, of a wrong type, or not supported yet.
    """
    from processors.terraform.configuration import read  # noqa: PLC0415 - as above

    read(config)


async def embedded_version() -> str:
    """Version of the Terraform that the embedded driver carries, as the library says it.

    Raises:
        runner.errors.TierformError: The library is not installed, or does not answer.
    """
    from processors.terraform.embedded import EmbeddedDriver  # noqa: PLC0415 - as above

    driver = EmbeddedDriver(usual=1, most=1)
    try:
        return (await driver.versions({})).version
    finally:
        await driver.close()
