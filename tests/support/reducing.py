"""Drives the reducer in tests, and folds its facts again after each step."""

from runner.engine.plan import Plan, PlannedActivity
from runner.engine.record import Record, fold
from runner.engine.reducer import reduce
from runner.protocol.messages import CommandEvent, CompletionEvent, ManifestEvent, ReportEvent

NOW = 1_700_000_000_000


def plan_of(*activities, **options):
    """A plan of the activities, tiers computed."""
    planned = {a.id: a for a in activities}
    tiers, placed = [], set()
    while len(placed) < len(planned):
        tier = tuple(n for n, a in planned.items() if n not in placed and placed.issuperset(a.depends_on))
        tiers.append(tier)
        placed |= set(tier)
    return Plan(**{"digest": "sha256:p", "type": "t", "tiers": tuple(tiers), "activities": planned, **options})


def act(name, *needs, **options):
    """An activity of type ``<name>.type``."""
    return PlannedActivity(id=name, type=f"{name}.type", depends_on=needs, **options)


class Run:
    """One orchestration; every step checks that the state is the fold of the facts."""

    def __init__(self, plan, now=NOW):
        self.plan = plan
        self.now = now
        self.state = None
        self.records = []

    def take(self, event, *, later=0):
        self.now += later
        self.state, facts = reduce(self.plan, self.state, event, self.now)
        if facts:
            self.records.append(Record(v=1, number=len(self.records) + 1, at_millis=self.now, facts=list(facts)))
        assert fold(self.records) == self.state
        return list(facts)

    def start(self, **payload):
        return self.take(ManifestEvent(v=1, event_id="m", oid="o", orchestration_type="t", payload=payload))

    def report(self, name, result, **members):
        activity = self.state.activities.get(name)
        defaults = {
            "attempt": activity.attempt if activity else 1,
            "lease": activity.lease if activity else 1,
            "delivery": activity.delivery if activity else 1,
            "agent": "a1",
            "generation": self.state.generation,
        }
        return self.take(
            ReportEvent(v=1, event_id="r", oid="o", activity=name, result=result, **{**defaults, **members})
        )

    def command(self, command, **members):
        return self.take(CommandEvent(v=1, event_id="c", oid="o", command=command, **members))

    def cancel(self, **members):
        return self.command("cancel", **members)

    def complete(self, name, outcome="complete", **members):
        return self.take(
            CompletionEvent(v=1, event_id="x", oid="o", activity=name, token="", outcome=outcome, **members)
        )

    def status(self, name):
        activity = self.state.activities.get(name)
        return activity.status if activity else None
