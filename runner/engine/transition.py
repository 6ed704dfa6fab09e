"""The facts that follow from one event so far, and the state after them; what all rules share."""

from runner.engine import facts
from runner.engine.folding import apply, create
from runner.engine.plan import Plan
from runner.engine.state import ActivityState, Orchestration, Status, live

STOP_GRACE_MILLIS = 330_000
"""How long an agent may take to stop what it runs: Terraform's five minutes, and then some."""


class Transition:
    """Collects facts.

    Args:
        plan: The definition the orchestration runs.
        state: The state so far; None before the manifest.
        now: Milliseconds since 1970, UTC.
    """

    def __init__(self, plan: Plan, state: Orchestration | None, now: int) -> None:
        self.plan = plan
        self.now = now
        self.facts: list[facts.Fact] = []
        self._state = state

    @property
    def state(self) -> Orchestration:
        """The state after the facts so far."""
        assert self._state is not None  # noqa: S101 - every rule but the manifest's is guarded in reduce
        return self._state

    def add(self, fact: facts.Fact) -> None:
        """One more thing that happened."""
        self.facts.append(fact)
        if isinstance(fact, facts.Created):
            self._state = create(fact, self.now)
        else:
            self._state = apply(fact, self.state, self.now)

    def dispatch_again(self, name: str, *, cause: str, attempt: int) -> None:
        """The next lease of an activity; the same attempt goes on polling, a new one starts counting anew."""
        activity = self.state.activities[name]
        polls = activity.polls if attempt == activity.attempt else 0
        self.add(facts.Dispatched(activity=name, attempt=attempt, lease=activity.lease + 1, polls=polls, cause=cause))

    def stop(self, name: str, activity: ActivityState) -> None:
        """Stop one live activity. One between two polls is dispatched once more, so that its processor hears of it."""
        if activity.status is Status.STOPPING:
            return
        if activity.status in (Status.WAITING, Status.RETRYING):
            self.add(facts.ActivityCancelled(activity=name))
            return
        if activity.status is Status.SCHEDULED:
            self.dispatch_again(name, cause="cancel", attempt=activity.attempt)
        self.add(facts.StopRequested(activity=name, due_millis=self.now + STOP_GRACE_MILLIS))

    def stop_everything(self) -> None:
        """Stop every live activity."""
        for name, activity in live(self.state):
            self.stop(name, activity)

    def stop_after_failure(self) -> None:
        """After a fatal error: what runs (a poll included) drains or is told to stop; what waits otherwise ends now."""
        for name, activity in live(self.state):
            if self.plan.cancel_siblings or activity.status not in (Status.QUEUED, Status.SCHEDULED):
                self.stop(name, activity)
