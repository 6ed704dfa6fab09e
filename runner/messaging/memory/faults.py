"""What may go wrong on a bus, decided by a seed."""

import random
from dataclasses import dataclass, field
from enum import Enum, auto


class Outcome(Enum):
    """What becomes of one call."""

    DONE = auto()
    LOST_REQUEST = auto()  # raises Unreachable, nothing happened
    LOST_ANSWER = auto()  # raises Unreachable, but it happened


@dataclass(slots=True)
class Faults:
    """Probabilities between 0 and 1, all 0 by default; the same seed and the same calls give the same faults.

    Attributes:
        seed: Of the random numbers.
        request_lost: A call raises Unreachable and had no effect.
        answer_lost: A call raises Unreachable and had its effect.
        ack_lost: An ack, nak or sign of life never arrives.
        duplicated: A delivered message is delivered again at once, to whoever asks next.
        reordered: The next message is any of those that are ready, not the oldest.
        delayed: A message is held back for up to ``longest_delay_seconds`` before its first delivery.
        feed_lost: A message of the feed reaches nobody, its journal included.
        slow: A call takes up to ``longest_delay_seconds``.
        longest_delay_seconds: See ``delayed`` and ``slow``; the event loop's seconds.
        active: False switches all of them off, for the calm after the storm.
    """

    seed: int = 0
    request_lost: float = 0.0
    answer_lost: float = 0.0
    ack_lost: float = 0.0
    duplicated: float = 0.0
    reordered: float = 0.0
    delayed: float = 0.0
    feed_lost: float = 0.0
    slow: float = 0.0
    longest_delay_seconds: float = 5.0
    active: bool = True
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible faults, not secrets

    def happens(self, probability: float) -> bool:
        """Whether an event of this probability happens now; draws nothing for 0."""
        return self.active and probability > 0 and self._random.random() < probability

    def outcome(self) -> Outcome:
        """What becomes of a call."""
        if self.happens(self.request_lost):
            return Outcome.LOST_REQUEST
        return Outcome.LOST_ANSWER if self.happens(self.answer_lost) else Outcome.DONE

    def call_seconds(self) -> float:
        """How long a call takes."""
        return self._random.uniform(0, self.longest_delay_seconds) if self.happens(self.slow) else 0.0

    def hold_seconds(self) -> float:
        """How long a new message is held back."""
        return self._random.uniform(0, self.longest_delay_seconds) if self.happens(self.delayed) else 0.0

    def position(self, ready: int) -> int:
        """Which of so many ready messages comes next."""
        return self._random.randrange(ready) if ready > 1 and self.happens(self.reordered) else 0
