"""Figures of an agent."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Concurrency and waits.

    Attributes:
        concurrency: Activities run at once.
        fetch_wait: How long one fetch waits for the first task.
        ack_wait: After how long a silent agent's task goes to another; signs of life are given three times as often.
        stop_grace: How long a processor may take to stop after it was asked to; then it is abandoned.
        claim_timeout: How long to wait for the engine's word on a redelivered task.
    """

    concurrency: int = 8
    fetch_wait: timedelta = timedelta(seconds=5)
    ack_wait: timedelta = timedelta(seconds=6)
    stop_grace: timedelta = timedelta(seconds=320)
    claim_timeout: timedelta = timedelta(seconds=4)
