"""Hands one orchestration to the engine, or finds that it is there already."""

import uuid
from dataclasses import dataclass
from typing import Any

from runner.assembly.installation import Installation
from runner.cli.target import check_inputs
from runner.engine.state import Orchestration
from runner.errors import Refused
from runner.messaging.large import Large
from runner.model.definition import OrchestrationDefinition
from runner.protocol.messages import VERSION, ManifestEvent, encode


@dataclass(frozen=True, slots=True)
class Submission:
    """One orchestration to run.

    Attributes:
        bundle: Digest of the compiled definition.
        inputs: In the clear; None when the user gave none and an existing orchestration is meant.
    """

    oid: str
    bundle: str
    definition: OrchestrationDefinition
    inputs: dict[str, Any] | None
    correlation_id: str = ""
    only: tuple[str, ...] = ()


async def submit(installation: Installation, submission: Submission) -> None:
    """Publish the manifest, unless the orchestration exists with the same input: then it goes on where it stands.

    Raises:
        runner.errors.Refused: It exists with another type or another input.
        runner.errors.InvalidInput: It does not exist, and no inputs were given although the schema asks for some.
    """
    existing = (await installation.orchestrations.load(submission.oid)).orchestration
    if existing is not None:
        await _refuse_another(installation, submission, existing)
        return
    inputs = submission.inputs
    if inputs is None:
        inputs = {}
        check_inputs(submission.definition, inputs)
    schema = submission.definition.plain_schema()
    payload = await installation.confidential.conceal_inputs(inputs, schema, submission.oid)
    event = ManifestEvent(
        v=VERSION,
        event_id=uuid.uuid4().hex,
        oid=submission.oid,
        orchestration_type=submission.definition.type,
        correlation_id=submission.correlation_id,
        payload=payload,
        bundle=submission.bundle,
        only=list(submission.only),
        by=installation.environment.user,
    )
    subject = installation.subjects.event(submission.oid)
    large = Large(installation.messaging)
    data = await large.wrap(encode(event), f"starting orchestration '{submission.oid}' with these inputs")
    await installation.messaging.queue.publish(subject, data, message_id=event.event_id)


async def _refuse_another(installation: Installation, submission: Submission, existing: Orchestration) -> None:
    if existing.type != submission.definition.type:
        raise Refused(
            f"running '{submission.definition.type}' with the id '{submission.oid}': "
            f"an orchestration of type '{existing.type}' has that id",
            remedy="choose another --id",
        )
    if submission.inputs is None:
        return
    given = {**submission.definition.input, **submission.inputs}
    if not await installation.store.matches(existing.input, given):
        keys = sorted({*given, *existing.input})
        differing = [
            key for key in keys if not await installation.store.matches(existing.input.get(key), given.get(key))
        ]
        raise Refused(
            f"running '{submission.definition.type}' with the id '{submission.oid}': an orchestration with that id "
            f"exists, and its input differs in: {', '.join(differing)}",
            remedy="choose another --id, or give no inputs to go on with the one that exists",
        )
