"""Figures of the engine's shell."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Batch sizes and waits.

    Attributes:
        batch: Events taken in one fetch.
        in_flight: Events taken and not yet acknowledged, over all partitions.
        fetch_wait: How long one fetch waits for the first event.
        event_ack_wait: After how long an event of a dead engine goes to another.
        task_ack_wait: After how long the task of a silent agent goes to another.
        sweep_interval: Between two looks for lost tasks.
    """

    batch: int = 256
    in_flight: int = 2_048
    fetch_wait: timedelta = timedelta(seconds=5)
    event_ack_wait: timedelta = timedelta(seconds=10)
    task_ack_wait: timedelta = timedelta(seconds=6)
    sweep_interval: timedelta = timedelta(seconds=1.5)
