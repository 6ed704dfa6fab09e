"""What activities do that are watched from outside: they take their time, and append a line to a file when they begin and end.

Installed for the agents as an entry point. How an activity behaves is told by its discriminator.
"""

import asyncio
import hashlib
import json
import os
import time
from contextlib import suppress
from datetime import timedelta

from runner.activity import ActivityContext, ActivityResult, ProcessorEnvironment

LEDGER = "CHAOS_LEDGER"
MODULUS = 1_000_003
ATTEMPTS_FAILED = 2
POLL_MILLIS = (0, 50, 400)
_FOR_EVER_SECONDS = 3_600.0


class Ledger:
    """Answers as the discriminator says; stops when it is asked to."""

    def __init__(self, environment: ProcessorEnvironment) -> None:
        self._agent = environment.agent
        self._file = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def process(self, context: ActivityContext) -> ActivityResult:
        self._note("begin", context)
        with suppress(TimeoutError):
            async with asyncio.timeout(_seconds(context)):
                await context.stopping.wait()
        if context.stopping.is_requested():
            self._note("stopped", context)
            return ActivityResult.retry(f"stopped: {context.stopping.reason}")
        result = _answer(context)
        self._note("end", context)
        return result

    def _note(self, what: str, context: ActivityContext) -> None:
        line = {
            "what": what,
            "at": time.time(),
            "oid": context.oid,
            "generation": context.details.generation,
            "activity": name_of(context),
            "attempt": context.attempt,
            "polls": context.details.polls,
            "delivery": context.details.delivery,
            "lease": context.details.completion_token,  # Told apart by its token: a processor never sees its number.
            "pid": os.getpid(),
        }
        os.write(self._file, json.dumps(line).encode() + b"\n")


def name_of(context: ActivityContext) -> str:
    """The activity's name in the log: one that compensates has the id of what it undoes."""
    return f"undo.{context.id}" if context.discriminator == "undo" else context.id


def _seconds(context: ActivityContext) -> float:
    """How long it takes: a function of the delivery, so that a run of one seed is much like the next."""
    details = context.details
    text = f"{context.oid}/{context.id}/{details.attempt}/{details.polls}/{details.delivery}"
    fraction = hashlib.blake2b(text.encode(), digest_size=2).digest()[0] / 255
    if context.discriminator == "hang":
        return _FOR_EVER_SECONDS
    return 1 + 3 * fraction if context.discriminator == "slow" else 0.04 * fraction


def _answer(context: ActivityContext) -> ActivityResult:
    if context.discriminator in {"wait", "hold"}:
        return ActivityResult.wait()
    if context.discriminator == "fatal" or (context.discriminator == "flaky" and context.details.generation == 1):
        return ActivityResult.fatal("it cannot be")
    if context.discriminator == "retry" and context.attempt <= ATTEMPTS_FAILED:
        return ActivityResult.retry(f"attempt {context.attempt} fails")
    if context.discriminator == "poll" and context.details.polls < len(POLL_MILLIS):
        return ActivityResult.schedule(timedelta(milliseconds=POLL_MILLIS[context.details.polls]))
    value = (sum(context.inputs.values()) + 1) % MODULUS
    context.set_output_value("v", value)
    context.set_value(f"k-{context.id}", value)
    return ActivityResult.complete()


def create(environment: ProcessorEnvironment) -> Ledger:
    """The entry point."""
    return Ledger(environment)
