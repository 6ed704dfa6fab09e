"""The Terraform processor: renders a module into a workspace, plans, applies and destroys it."""

from runner.activity import ActivityProcessor, ProcessorEnvironment


def create(environment: ProcessorEnvironment) -> ActivityProcessor:
    """Make the processor; nothing is started yet. The entry point ``terraform`` of ``tierform.processors``."""
    from processors.terraform.processor import TerraformProcessor  # noqa: PLC0415 - the package's parts import each other

    return TerraformProcessor(environment)


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
