"""Invariants of what comes out: states, responses, the shared context, and that nothing is lost or stuck.

Sources: architecture, "What must always hold"; The Orchestrator, "Stateful Messaging".
"""

from typing import Any

import msgspec
from simulation.evidence import EPOCH_MILLIS, STOP_GRACE_SECONDS, Evidence
from simulation.moments import RESULTS, Moment, Violations, is_the_engines_own, moments
from simulation.scenario import step_of

from runner.engine import facts as f
from runner.engine.state import Orchestration, OrchestrationState, Status, live
from runner.protocol.messages import Response, decode


def the_response_is_stored_once_and_right(evidence: Evidence) -> Violations:
    for (oid, generation), bodies in evidence.responses.items():
        state = evidence.state(oid)
        assert state is not None
        if len(bodies) != int(state.is_terminal):
            yield f"{oid}/{generation} is {state.state.name} and has {len(bodies)} responses"
            continue
        for body in bodies:
            yield from _response_problems(state, decode(Response, body))


def _response_problems(state: Orchestration, response: Response) -> Violations:
    wanted = (state.oid, int(state.state), state.error, state.state is OrchestrationState.COMPLETED, state.output)
    got = (response.manifest_id, response.state, response.error_detail, response.success, response.properties)
    if wanted != got:
        yield f"the response of {state.oid} is {got} instead of {wanted}"


def the_state_is_the_fold_of_the_log_on_every_engine(evidence: Evidence) -> Violations:
    for oid, log in evidence.logs.items():
        for number, one in enumerate(log, start=1):
            if one.record.number != number:
                yield f"{oid}: record {one.record.number} at place {number}"
            if one.record.snapshot not in (None, one.after):
                yield f"{oid} record {number}: the snapshot is not the fold of the facts"
            if one.before is None and not isinstance(one.record.facts[0], f.Created):
                yield f"{oid}: the log does not begin with its creation"
            if one.before is not None and any(isinstance(fact, f.Created) for fact in one.record.facts):
                yield f"{oid} record {number}: created a second time"
    for engine, oid, state, sequence in evidence.loaded:
        known = {one.sequence: one.after for one in evidence.logs[oid]}
        if known.get(sequence) != state:
            yield f"{engine} has another state of {oid} at sequence {sequence} than its log"


def context_keys_change_only_by_accepted_results(evidence: Evidence) -> Violations:
    """Fold the context by hand, from the scripts: staged until the activity completes, then key by key."""
    for oid, log in evidence.logs.items():
        if not log:
            continue
        start, plan = evidence.start(oid), evidence.plan(oid)
        values: dict[str, Any] = {**plan.input, **start.payload}
        staged: dict[str, list[tuple[dict[str, Any], tuple[str, ...]]]] = {}
        for moment in moments(evidence):
            if moment.oid != oid or not isinstance(moment.fact, RESULTS):
                continue
            fact = moment.fact
            staged.setdefault(fact.activity, []).append((dict(fact.set), tuple(fact.deleted)))
            if isinstance(fact, f.Completed):
                for was_set, deleted in staged.pop(fact.activity):
                    values.update(was_set)
                    for key in deleted:
                        values.pop(key, None)
        if values != log[-1].after.values:
            yield f"{oid}: the context is {log[-1].after.values} instead of {values}"
        if log[-1].after.input != {**plan.input, **start.payload}:
            yield f"{oid}: the input has changed"


def what_is_recorded_is_what_the_processor_answered(evidence: Evidence) -> Violations:
    kinds: dict[type, str] = {f.Completed: "complete", f.Waiting: "wait", f.Scheduled: "schedule", f.Retrying: "retry"}
    for moment in moments(evidence):
        fact = moment.fact
        if not isinstance(fact, RESULTS) or is_the_engines_own(fact):
            continue
        known = moment.activity()
        if isinstance(fact, f.Scheduled) and (fact.agent in evidence.stopped):
            continue  # It was handed on: its agent was stopped.
        step = step_of(evidence.scenario.scripts[moment.oid, fact.activity], known.attempt, known.polls)
        if not step.seconds or not _may_be_interrupted(moment, step.seconds, heeds=step.heeds):
            wanted = {step.kind} if step.kind != "retry" else {"retry", "fatal"}
            got = kinds.get(type(fact), "raise" if "ProcessorError" in getattr(fact, "error", "") else "fatal")
            if got not in wanted:
                yield f"{moment}: the script says {step}"
        if type(fact) in (f.Completed, f.Waiting, f.Scheduled):
            deleted = sorted(step.deleted)
            wanted_set = {key: value for key, value in step.set.items() if key not in deleted}
            outputs = {key: value for key, value in fact.outputs.items() if key not in known.outputs}
            if (fact.set, fact.deleted) != (wanted_set, deleted) or not step.outputs.items() <= fact.outputs.items():
                yield f"{moment}: the script says {step}, outputs {outputs}"


def _may_be_interrupted(moment: Moment, seconds: float, *, heeds: bool) -> bool:
    """Whether a time-out may have cut the step short."""
    timeout = moment.plan.activities[moment.fact.activity].timeout_millis  # type: ignore[attr-defined]
    stopping = moment.state.activities[moment.fact.activity].status is Status.STOPPING  # type: ignore[attr-defined]
    if stopping:
        return True
    return (
        timeout is not None
        and seconds * 1000 >= timeout
        and (heeds or seconds * 1000 >= timeout + STOP_GRACE_SECONDS * 1000)
    )


def a_processor_gets_the_inputs_and_the_context_of_its_dependencies(evidence: Evidence) -> Violations:
    for effect in evidence.ledger:
        log = evidence.logs[effect.oid]
        state = log[-1].after
        for name in evidence.plan(effect.oid).activities[effect.activity].depends_on:
            if state.only and name not in state.only:
                continue
            wanted = state.activities[name].outputs.get("n")
            if effect.inputs.get(f"from_{name}") != wanted:
                yield f"{effect}: {name} has put out {wanted!r}"
        if effect.inputs.get("x") != state.input["x"]:
            yield f"{effect}: the input is {state.input['x']!r}"


def every_orchestration_reaches_its_end_or_waits_for_the_outside(evidence: Evidence) -> Violations:
    for oid, log in evidence.logs.items():
        state = log[-1].after if log else None
        if state is None or state.is_terminal:
            continue
        stuck = {n: a for n, a in live(state) if a.status is not Status.WAITING or a.due_millis}
        if stuck or not live(state):
            yield f"{oid} is stuck at {evidence.seconds:.0f} s: {stuck or 'nothing of it is live'}"


def the_terminal_state_follows_from_what_happened(evidence: Evidence) -> Violations:
    for oid, log in evidence.logs.items():
        state = log[-1].after if log else None
        if state is None or not state.is_terminal:
            continue
        if live(state):
            yield f"{oid} ended as {state.state.name} with live activities"
        chosen = set(state.only or evidence.plan(oid).activities)
        done = {name for name, a in state.activities.items() if a.status is Status.COMPLETED}
        failed = [name for name, a in state.activities.items() if a.status is Status.FAILED]
        wanted = OrchestrationState.CANCELLED
        if failed:
            wanted = OrchestrationState.ERRORED
        elif done == chosen and not state.cancelling:
            wanted = OrchestrationState.COMPLETED
        elif not state.cancelling:
            yield f"{oid} ended as {state.state.name}: nothing failed, nobody cancelled it, {chosen - done} never completed"
        if state.state is not wanted:
            yield f"{oid} ended as {state.state.name} instead of {wanted.name}"


def nothing_acknowledged_is_lost(evidence: Evidence) -> Violations:
    """A manifest that the bus took has started; a cancel that it took was heard before the end or came after it."""
    for kind, oid in evidence.acknowledged:
        log = evidence.logs.get(oid)
        if not log:
            yield f"the manifest of {oid} was taken and nothing came of it"
        elif kind == "cancel" and not log[-1].after.is_terminal and not log[-1].after.cancelling:
            yield f"the cancel of {oid} was taken and nothing came of it"
    for subject, letter in evidence.dead:
        if "stopped answering" in letter["cause"]:
            continue  # The task of an activity that was given up, not a message that was lost.
        yield f"among the dead letters on {subject}: {letter['cause']}"
    for kind, count in evidence.left.items():
        if count:
            yield f"{count} messages were left in the queue '{kind}'"


def every_result_was_worked_for(evidence: Evidence) -> Violations:
    """No result without a processor that ran for it, by the agent and in the delivery that it names."""
    worked = {(e.oid, e.activity, e.attempt, e.polls, e.delivery, e.agent) for e in evidence.ledger}
    for moment in moments(evidence):
        fact = moment.fact
        if not isinstance(fact, RESULTS) or is_the_engines_own(fact):
            continue
        known = moment.activity()
        if "stopped before it began" in getattr(fact, "error", ""):
            continue
        if (moment.oid, fact.activity, known.attempt, known.polls, fact.delivery, fact.agent) not in worked:
            yield f"{moment}: the ledger has no such entry"


def nobody_met_a_defect(evidence: Evidence) -> Violations:
    yield from evidence.defects


def records_are_readable_and_dated(evidence: Evidence) -> Violations:
    """What is stored decodes to what was folded, and carries its engine's time."""
    steps = sum(abs(mishap.millis) for mishap in evidence.scenario.mishaps if mishap.what == "clock")
    for oid, log in evidence.logs.items():
        for one in log:
            apart = abs(one.record.at_millis - EPOCH_MILLIS - one.at * 1000)
            if apart > steps + 30_000:
                yield f"{oid} record {one.record.number} is dated {apart} ms apart from its storing"
            if one.after.is_terminal and one.record.snapshot is None:
                yield f"{oid}: the last record has no snapshot"
            if msgspec.json.decode(msgspec.json.encode(one.after), type=Orchestration) != one.after:
                yield f"{oid} record {one.record.number}: the state does not survive its encoding"
