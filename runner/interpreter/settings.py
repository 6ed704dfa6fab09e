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
        archive_after: How long after its end an orchestration's log goes to the archive; None for never. Below half a
            minute only where no other engine can be frozen for as long.
        keep_for: How long after its end an archived orchestration is kept; None for ever.
        keep_count: How many archived orchestrations are kept, those that ended last; None for all.
        retention_after: From an engine's start to its first look for what is kept no longer.
        retention_interval: Between two such looks.
    """

    batch: int = 256
    in_flight: int = 2_048
    fetch_wait: timedelta = timedelta(seconds=5)
    event_ack_wait: timedelta = timedelta(seconds=10)
    task_ack_wait: timedelta = timedelta(seconds=6)
    sweep_interval: timedelta = timedelta(seconds=1.5)
    archive_after: timedelta | None = timedelta(seconds=60)
    keep_for: timedelta | None = timedelta(days=90)
    keep_count: int | None = None
    retention_after: timedelta = timedelta(seconds=30)
    retention_interval: timedelta = timedelta(hours=1)
