"""The Terraform processor: renders a module into a workspace, plans, applies and destroys it."""

from runner.activity import ActivityProcessor, ProcessorEnvironment


def create(environment: ProcessorEnvironment) -> ActivityProcessor:
    """Make the processor; nothing is started yet. The entry point ``terraform`` of ``tierform.processors``."""
    from processors.terraform.processor import TerraformProcessor  # noqa: PLC0415 - the package's parts import each other

    return TerraformProcessor(environment)
