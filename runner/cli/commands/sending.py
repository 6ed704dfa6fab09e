"""Commands and completions to the engine, over the bus."""

import asyncio
import uuid
from typing import Any, Literal

from runner.assembly.installation import Installation
from runner.errors import Unreachable
from runner.messaging.large import Large
from runner.protocol.messages import VERSION, Answer, CommandEvent, CompletionEvent, decode, encode

_ANSWER_SECONDS = 5.0


async def send_command(
    installation: Installation,
    oid: str,
    command: Literal["cancel", "retry", "pause", "resume"],
    *,
    reason: str = "",
    activity: str = "",
) -> None:
    """Hand a command to the engine; durable when this returns."""
    event = CommandEvent(
        v=VERSION,
        event_id=uuid.uuid4().hex,
        oid=oid,
        command=command,
        by=installation.environment.user,
        reason=reason,
        activity=activity,
    )
    await installation.messaging.queue.publish(
        installation.subjects.event(oid), encode(event), message_id=event.event_id
    )


async def send_completion(
    installation: Installation,
    oid: str,
    activity: str,
    token: str,
    outcome: Literal["complete", "fail", "data"],
    *,
    error: str = "",
    outputs: dict[str, Any] | None = None,
) -> Answer:
    """Hand a completion to the engine and return its answer.

    Raises:
        Unreachable: No engine answered; the completion is stored and is taken when one runs.
    """
    reply = f"{installation.subjects.prefix}.answer.{uuid.uuid4().hex}"
    answers = await installation.messaging.feed.subscribe(reply)
    event = CompletionEvent(
        v=VERSION,
        event_id=uuid.uuid4().hex,
        oid=oid,
        activity=activity,
        token=token,
        outcome=outcome,
        error=error,
        outputs=outputs or {},
        by=installation.environment.user,
        reply=reply,
    )
    try:
        data = await Large(installation.messaging).wrap(encode(event), f"completing activity '{activity}'")
        await installation.messaging.queue.publish(installation.subjects.event(oid), data, message_id=event.event_id)
        async with asyncio.timeout(_ANSWER_SECONDS):
            async for message in answers:
                return decode(Answer, message.data)
    except TimeoutError:
        pass
    finally:
        await answers.close()
    raise Unreachable(
        f"completing activity '{activity}' of orchestration '{oid}': no engine answered yet",
        remedy="the completion is stored and is taken as soon as an engine runs (tierform serve)",
    )
