"""What happens in one simulated run: everything is drawn from the seed before it begins."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.engine.plan import Plan, PlannedActivity, RetryRule
from runner.interpreter.membership import shares
from runner.messaging.memory import Faults
from runner.protocol.subjects import partition_of

STORM_SECONDS = 20.0
"""How long things go wrong; then the calm begins, and everything has to come to its end."""

Kind = Literal["complete", "wait", "schedule", "retry", "fatal", "raise"]


@dataclass(frozen=True, slots=True)
class Step:
    """What a processor does in one delivery: always the same for the same attempt and poll.

    Attributes:
        seconds: How long it works.
        heeds: Whether it stops when it is asked to.
    """

    kind: Kind
    seconds: float = 0.0
    delay_millis: int = 0
    heeds: bool = True
    set: Mapping[str, Any] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)


Script = tuple[tuple[Step, ...], ...]
"""Steps by attempt and poll; the last attempt's and the last poll's stand for all that follow."""


def step_of(script: Script, attempt: int, polls: int) -> Step:
    """What the processor does in this attempt after so many polls."""
    steps = script[min(attempt, len(script)) - 1]
    return steps[min(polls, len(steps) - 1)]


@dataclass(frozen=True, slots=True)
class Start:
    """One orchestration: which, when, and when somebody cancels it."""

    oid: str
    type: str
    at: float
    payload: Mapping[str, Any]
    only: tuple[str, ...] = ()
    cancelled_at: float | None = None
    sent: int = 1


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that befalls a process, or the server.

    Attributes:
        after_steps: For ``kill``: so many of its own steps later; 0 for at once.
        seconds: For ``freeze``: how long. For ``kill`` and ``stop``: until it is started again.
        millis: For ``clock``: by how much its clock steps.
    """

    at: float
    what: Literal["kill", "stop", "freeze", "clock", "server"]
    process: str
    seconds: float = 0.0
    after_steps: int = 0
    millis: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run."""

    seed: int
    plans: tuple[Plan, ...]
    scripts: Mapping[tuple[str, str], Script]
    starts: tuple[Start, ...]
    mishaps: tuple[Mishap, ...]
    faults: Faults
    engines: int
    agents: int
    partitions: int
    concurrency: int
    shuffles: bool


def scenario(seed: int) -> Scenario:
    """The scenario of a seed; that of a negative one is made by hand."""
    if seed < 0:
        return _MADE[-seed - 1](seed)
    return _Drawing(random.Random(seed), seed).draw()  # noqa: S311 - a scenario, no secret


def _frozen_owner(seed: int) -> Scenario:
    """The engine that owns a partition is frozen; another one starts an orchestration there, and gives it back."""
    activity = PlannedActivity(id="a0", type="dns.example.com", provider="scripted", inputs=(("x", ""),))
    plan = Plan(
        digest="sha256:plan0", type="plan0", tiers=(("a0",),), activities={"a0": activity}, input={"x": 0, "base": "b"}
    )
    oid, partitions = "frozen", 4
    owner = shares(partitions, ("engine-0.1", "engine-1.1"))[partition_of(oid, partitions)]
    polls = (Step("schedule", delay_millis=6000), Step("complete", outputs={"n": "a0-1"}))
    return Scenario(
        seed=seed,
        plans=(plan,),
        scripts={(oid, "a0"): (polls,)},
        starts=(Start(oid, "plan0", 4.2, {"x": 1}),),
        mishaps=(Mishap(1.0, "freeze", owner.removesuffix(".1"), seconds=4.0),),
        faults=Faults(seed=seed),
        engines=2,
        agents=1,
        partitions=partitions,
        concurrency=2,
        shuffles=False,
    )


_MADE = (_frozen_owner,)


class _Drawing:
    def __init__(self, r: random.Random, seed: int) -> None:
        self.r = r
        self.seed = seed
        self.calm = r.random() < 0.1

    def draw(self) -> Scenario:
        r = self.r
        plans = tuple(self._plan(f"plan{n}") for n in range(r.choice((1, 1, 2))))
        starts = tuple(self._start(n, r.choice(plans)) for n in range(r.randint(1, 3)))
        by_type = {plan.type: plan for plan in plans}
        scripts = {
            (start.oid, name): self._script(activity)
            for start in starts
            for name, activity in by_type[start.type].activities.items()
        }
        engines, agents = r.choice((1, 2, 2, 3)), r.choice((1, 2, 2, 3, 4))
        names = [f"engine-{n}" for n in range(engines)] + [f"agent-{n}" for n in range(agents)]
        return Scenario(
            seed=self.seed,
            plans=plans,
            scripts=scripts,
            starts=starts,
            mishaps=() if self.calm else tuple(self._mishap(names) for _ in range(r.choice((0, 1, 2, 3, 5, 8)))),
            faults=self._faults(),
            engines=engines,
            agents=agents,
            partitions=r.choice((1, 2, 4)),
            concurrency=r.choice((1, 2, 8)),
            shuffles=r.random() < 0.8,
        )

    # Definitions ------------------------------------------------------------------------------------------------

    def _plan(self, name: str) -> Plan:
        r = self.r
        count = r.choice((1, 2, 3, 3, 4, 4, 5, 6, 8))
        density = r.choice((0.2, 0.5, 0.8))
        activities: dict[str, PlannedActivity] = {}
        for n in range(count):
            earlier = tuple(other for other in activities if r.random() < density)[-3:]
            activities[f"a{n}"] = self._activity(f"a{n}", earlier)
        return Plan(
            digest=f"sha256:{name}",
            type=name,
            tiers=_tiers(activities),
            activities=activities,
            eager=r.random() < 0.4,
            cancel_siblings=r.random() < 0.4,
            input={"x": 0, "base": name},
            output=(("x", "x"), ("a0.n", "first")) if r.random() < 0.2 else (),
        )

    def _activity(self, name: str, needs: tuple[str, ...]) -> PlannedActivity:
        r = self.r
        retry = RetryRule(
            max_attempts=r.choice((2, 3, 5, 5)),
            initial_millis=r.choice((10, 200, 1000)),
            max_interval_millis=r.choice((1000, 3000)),
        )
        return PlannedActivity(
            id=name,
            type=r.choice(("dns.example.com", "vm.example.com")),
            provider="scripted",
            depends_on=needs,
            inputs=(*((f"{other}.n", f"from_{other}") for other in needs), ("x", "")),
            retry=retry,
            timeout_millis=r.choice((None, None, None, 1500)),
            wait_timeout_millis=r.choice((None, 2000, 8000)),
        )

    # Behaviour --------------------------------------------------------------------------------------------------

    def _script(self, activity: PlannedActivity) -> Script:
        r = self.r
        kind = r.choices(("plain", "retries", "fatal", "raises", "waits", "exceeds"), weights=(70, 14, 4, 2, 6, 2))[0]
        last: Kind = {"fatal": "fatal", "raises": "raise", "waits": "wait"}.get(kind, "complete")  # type: ignore[assignment]
        failing = {"retries": r.randint(1, activity.retry.max_attempts - 1), "exceeds": activity.retry.max_attempts}
        attempts: list[tuple[Step, ...]] = [
            (*self._polls(), self._step("retry", activity)) for _ in range(failing.get(kind, 0))
        ]
        return (*attempts, (*self._polls(), self._step(last, activity)))

    def _polls(self) -> tuple[Step, ...]:
        r = self.r
        if r.random() < 0.75:
            return ()
        return tuple(
            Step(
                "schedule",
                delay_millis=r.choice((0, 0, 50, 700, 4000)),
                set=self._values(),
                deleted=self._deleted(),
                outputs={f"p{n}": self.r.randint(0, 9)},
            )
            for n in range(r.randint(1, 3))
        )

    def _step(self, kind: Kind, activity: PlannedActivity) -> Step:
        r = self.r
        return Step(
            kind,
            seconds=r.choice((0, 0, 0, 0, 0.01, 0.3, 2.5, 9.0)),
            heeds=r.random() < 0.7,
            set=self._values(),
            deleted=self._deleted(),
            outputs={"n": f"{activity.id}-{r.randint(0, 99)}"},
        )

    def _values(self) -> dict[str, Any]:
        return {key: self.r.randint(0, 99) for key in ("x", "k", "l") if self.r.random() < 0.3}

    def _deleted(self) -> tuple[str, ...]:
        return tuple(key for key in ("base", "m", "k") if self.r.random() < 0.15)

    def _start(self, number: int, plan: Plan) -> Start:
        r = self.r
        at = round(r.uniform(0, 6), 3)
        only: tuple[str, ...] = ()
        if r.random() < 0.08:
            only = tuple(name for name in plan.activities if r.random() < 0.6) or ("a0",)
        return Start(
            oid=f"o{self.seed}.{number}",
            type=plan.type,
            at=at,
            payload={"x": r.randint(1, 9)} if r.random() < 0.7 else {},
            only=only,
            cancelled_at=at + round(r.choice((0.0, r.uniform(0, 0.1), r.uniform(0, 12))), 3)
            if r.random() < 0.2
            else None,
            sent=1 + (r.random() < 0.15),
        )

    # Misfortune -------------------------------------------------------------------------------------------------

    def _mishap(self, names: list[str]) -> Mishap:
        r = self.r
        what = r.choices(("kill", "stop", "freeze", "clock", "server"), weights=(50, 12, 20, 6, 12))[0]
        return Mishap(
            at=round(r.choice((r.uniform(0, 1), r.uniform(0, 6), r.uniform(0, STORM_SECONDS))), 3),
            what=what,  # type: ignore[arg-type]
            process=r.choice(names),
            seconds=r.choice((0.1, 1.0, 4.0, 12.0)),
            after_steps=r.choice((0, r.randint(1, 40), r.randint(1, 400))),
            millis=r.choice((-20_000, -500, 500, 20_000)),
        )

    def _faults(self) -> Faults:
        r = self.r
        if self.calm:
            return Faults(seed=self.seed)

        def chance(*levels: float) -> float:
            return r.choice((0.0, 0.0, *levels))

        return Faults(
            seed=self.seed,
            request_lost=chance(0.01, 0.08),
            answer_lost=chance(0.01, 0.08),
            ack_lost=chance(0.02, 0.2),
            duplicated=chance(0.02, 0.15),
            reordered=chance(0.1, 0.5),
            delayed=chance(0.05, 0.2),
            feed_lost=chance(0.02, 0.2),
            slow=chance(0.05, 0.3, 1.0),
            longest_delay_seconds=r.choice((0.01, 0.1, 2.0)),
        )


def _tiers(activities: Mapping[str, PlannedActivity]) -> tuple[tuple[str, ...], ...]:
    tiers: list[tuple[str, ...]] = []
    placed: set[str] = set()
    while len(placed) < len(activities):
        tier = tuple(n for n, a in activities.items() if n not in placed and placed.issuperset(a.depends_on))
        tiers.append(tier)
        placed |= set(tier)
    return tuple(tiers)
