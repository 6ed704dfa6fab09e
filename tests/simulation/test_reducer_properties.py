"""The reducer under any sequence of events, whatever is duplicated, stale, reordered or senseless."""

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from reducing import NOW, act, plan_of

from runner.engine import facts as f
from runner.engine.effects import controls_of, dispatched, next_due, response_of, standing_controls, task_of
from runner.engine.plan import RetryRule
from runner.engine.presentation import activity_line, rest_form
from runner.engine.record import Record, decode, encode, fold, fold_facts
from runner.engine.reducer import Lost, Tick, reduce
from runner.engine.state import ENDED, OrchestrationState, Status, is_undo, live
from runner.protocol import messages as m

RULE = RetryRule(max_attempts=3, initial_millis=100, max_interval_millis=300)
NAMES = ("a", "b", "c", "d")
SCHEMA = {"type": "object", "properties": {"o": {"type": "integer"}}}
UNDOES = ("undo.a", "undo.b", "undo.d")
WHICH = st.integers(0, 24)
values = st.dictionaries(st.sampled_from("kl"), st.integers(0, 3), max_size=2)
outputs = st.dictionaries(st.just("o"), st.sampled_from((1, 2, "wrong")), max_size=1)


def plan(*, eager, cancel_siblings, compensates, wait_timeout):
    def one(name, *needs):
        return act(name, *needs, retry=RULE, wait_timeout_millis=wait_timeout, output_schema=SCHEMA)

    compensation = plan_of(one("d"), one("b", "d"), one("a", "b")) if compensates else None
    graph = (one("a"), one("b", "a"), one("c"), one("d", "b"))
    return plan_of(*graph, eager=eager, cancel_siblings=cancel_siblings, compensation=compensation)


class Reducing(RuleBasedStateMachine):
    """Every rule sends one event; after each, all that must hold is looked at."""

    @initialize(
        eager=st.booleans(),
        cancel_siblings=st.booleans(),
        compensates=st.booleans(),
        wait_timeout=st.sampled_from((None, 500)),
        only=st.sampled_from(((), (), ("b", "c"))),
    )
    def begin(self, only, **options):
        self.plan = plan(**options)
        self.now = NOW
        self.state = None
        self.records = []
        self.sent = []
        self.manifest = m.ManifestEvent(v=1, event_id="m", oid="o", orchestration_type="t", only=list(only))
        self.take(self.manifest)

    def take(self, event):
        before = self.state
        self.state, facts = reduce(self.plan, before, event, self.now)
        again, same = reduce(self.plan, before, event, self.now)
        assert (again, same) == (self.state, facts)
        if not facts:
            assert self.state is before
            return facts
        record = Record(v=1, number=len(self.records) + 1, at_millis=self.now, facts=list(facts))
        self.records.append(decode(encode(record)))
        self.check_facts(before, facts)
        for name in dispatched(facts):
            m.encode(task_of(self.plan, self.state, name, b"secret"))
        for control in (*controls_of(facts, self.state), *standing_controls(self.state)):
            m.encode(control)
        return facts

    # Events -----------------------------------------------------------------------------------------------------

    @rule()
    def manifest_again(self):
        assert self.take(self.manifest) == ()

    def pick(self, which):
        """The activity that a number means: mostly one that is live."""
        names = [name for name, _ in live(self.state)]
        if not names or which > 20:
            return (NAMES + UNDOES)[which % len(NAMES + UNDOES)]
        return names[which % len(names)]

    @rule(
        which=WHICH,
        result=st.sampled_from((1, 1, 1, 1, 1, 0, 2, 2, -1, -1, -1, -2)),
        stale=st.sampled_from(("", "", "", "", "attempt", "lease", "delivery", "generation")),
        delay=st.sampled_from((0, 200)),
        brings=st.tuples(values, outputs, st.lists(st.sampled_from("kl"), max_size=1)),
    )
    def report(self, which, result, stale, delay, brings):
        name = self.pick(which)
        known = self.state.activities.get(name)
        lease = {"attempt": known.attempt, "lease": known.lease, "delivery": known.delivery} if known else {}
        members = {"attempt": 1, "lease": 1, "delivery": 1, "generation": self.state.generation, **lease}
        if stale:
            members[stale] -= 1
        event = m.ReportEvent(
            v=1,
            event_id="r",
            oid="o",
            activity=name,
            agent="agent",
            result=result,
            delay_millis=delay,
            error="no" if result < 0 else "",
            set=brings[0],
            outputs=brings[1],
            deleted=brings[2],
            **members,
        )
        self.sent.append(event)
        facts = self.take(event)
        if stale:
            assert all(isinstance(fact, f.Ignored) for fact in facts)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def report_again(self, data):
        """A report that was accepted changes nothing when it comes again; one that was not may still be live."""
        event = data.draw(st.sampled_from(self.sent))
        self.take(event)
        before = self.state
        facts = self.take(event)
        assert all(isinstance(fact, f.Ignored) for fact in facts)
        assert self.state == before

    @rule(which=WHICH, ahead=st.integers(-1, 2), lease=st.sampled_from((0, 0, 0, 1)))
    def claim(self, which, ahead, lease):
        name = self.pick(which)
        known = self.state.activities.get(name)
        self.take(
            m.ClaimEvent(
                v=1,
                event_id="k",
                oid="o",
                activity=name,
                agent="other",
                reply="r",
                generation=self.state.generation,
                attempt=known.attempt if known else 1,
                lease=(known.lease if known else 1) + lease,
                delivery=(known.delivery if known else 1) + ahead,
            )
        )

    @rule(
        command=st.sampled_from(("pause", "resume", "resume", "retry", "retry", "pause", "resume", "cancel")),
        name=st.sampled_from(("", "b", "zz")),
    )
    def command(self, command, name):
        self.take(
            m.CommandEvent(
                v=1, event_id="c", oid="o", command=command, by="me", activity=name if command == "retry" else ""
            )
        )

    @rule(
        which=WHICH,
        outcome=st.sampled_from(("complete", "complete", "fail", "data")),
        brings=st.tuples(values, outputs),
    )
    def completion(self, which, outcome, brings):
        name = self.pick(which)
        self.take(
            m.CompletionEvent(
                v=1, event_id="x", oid="o", activity=name, token="", outcome=outcome, set=brings[0], outputs=brings[1]
            )
        )

    @rule(which=WHICH, older=st.integers(0, 1))
    def lost(self, which, older):
        name = self.pick(which)
        known = self.state.activities.get(name)
        self.take(Lost(name, (known.lease if known else 1) - older))

    @rule(later=st.sampled_from((0, 50, 400, 400, 400, 400_000)))
    def tick(self, later):
        self.now += later
        self.take(Tick())

    # What must hold ---------------------------------------------------------------------------------------------

    def check_facts(self, before, facts):
        state = before
        for fact in facts:
            if state is not None:
                self.check_fact(state, fact)
            state = fold_facts(state, [fact], self.now)
        assert state == self.state

    def check_fact(self, state, fact):
        assert not state.is_terminal or isinstance(fact, f.Retried)
        known = state.activities.get(getattr(fact, "activity", ""))
        if known is not None and known.status in ENDED:
            assert isinstance(fact, f.Ignored | f.CompletionRefused)
        if isinstance(fact, f.Dispatched):
            self.check_dispatch(state, fact, known)
        if isinstance(fact, f.TierStarted):
            assert state.state is OrchestrationState.COMPENSATING or not (state.is_stopping or state.paused)

    def check_dispatch(self, state, fact, known):
        planned = self.plan.planned(fact.activity)
        assert fact.attempt <= RULE.max_attempts
        if known is not None:
            assert fact.lease == known.lease + 1
            assert fact.attempt == known.attempt + (known.status is Status.RETRYING)
            if fact.cause in ("retry", "schedule"):
                assert known.due_millis <= self.now
            assert not state.paused or fact.cause in ("lost", "cancel")
            return
        assert (fact.attempt, fact.lease) == (1, 1)
        if is_undo(fact.activity):
            assert state.state is OrchestrationState.COMPENSATING
            return
        assert not state.is_stopping
        assert not state.paused
        chosen = set(state.only or NAMES)
        assert fact.activity in chosen
        for needed in chosen.intersection(planned.depends_on):
            assert state.activities[needed].status is Status.COMPLETED

    @invariant()
    def the_state_is_the_fold_of_the_log(self):
        if self.records:
            assert fold(self.records) == self.state
            assert msgspec.json.decode(msgspec.json.encode(self.state), type=type(self.state)) == self.state

    @invariant()
    def something_moves_until_the_end(self):
        """Everything live has a task, a timer or a token; a running orchestration has something live."""
        if not self.records:
            return
        if self.state.is_terminal:
            assert not live(self.state)
            assert next_due(self.state) is None
            return
        for name, activity in live(self.state):
            if activity.status in (Status.SCHEDULED, Status.RETRYING, Status.STOPPING):
                assert activity.due_millis, name
        assert live(self.state) or self.state.paused

    @invariant()
    def an_end_has_its_reason(self):
        if not self.records or not self.state.is_terminal:
            return
        done = {name for name, a in self.state.activities.items() if a.status is Status.COMPLETED}
        chosen = set(self.state.only or NAMES)
        if self.state.state is OrchestrationState.COMPLETED:
            assert done == chosen
        else:
            assert self.state.failed_activity or self.state.cancelling
        assert response_of(self.state).success == (self.state.state is OrchestrationState.COMPLETED)

    @invariant()
    def people_can_be_told(self):
        if self.records:
            rest_form(self.plan, self.state)
            for name in NAMES:
                line = activity_line(self.plan, self.state, name, self.now)
                ended = name in self.state.activities and self.state.activities[name].status in ENDED
                assert bool(line["why"]) != ended


TestReducing = Reducing.TestCase
TestReducing.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
