"""Records of a log: encoding, versions, folding."""

import pytest
from reducing import Run, act, plan_of

from runner.engine import facts as f
from runner.engine.record import Record, decode, encode, fold, fold_facts
from runner.errors import InvalidUsage, NewerData


def a_run():
    run = Run(plan_of(act("a"), act("b", "a")))
    run.start(x={"deep": [1, None, True]})
    run.report("a", 1, outputs={"o": 1.5})
    return run


def test_records_survive_encoding_and_fold_to_the_same_state():
    run = a_run()
    assert fold([decode(encode(record)) for record in run.records]) == run.state


def test_a_fold_from_a_snapshot_needs_nothing_before_it():
    run = a_run()
    snapshot = Record(v=1, number=2, at_millis=run.now, facts=run.records[1].facts, snapshot=run.state)
    run.report("b", 1)
    assert fold([decode(encode(snapshot)), run.records[2]]) == run.state


def test_a_log_that_does_not_start_with_created_is_refused():
    with pytest.raises(InvalidUsage, match="starts with 'Started'"):
        fold_facts(None, [f.Started()], 0)


@pytest.mark.parametrize(
    "data",
    [b'{"v":2,"number":1,"atMillis":0,"facts":[{"fact":"unheardOf"}]}', b'{"v":9,"number":1,"atMillis":0,"facts":[]}'],
)
def test_a_record_of_a_newer_version_is_refused_as_such(data):
    with pytest.raises(NewerData, match="format version"):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"v":1}', b'{"v":1,"number":1,"atMillis":0,"facts":[{}]}'])
def test_what_is_no_record_is_refused_with_the_reason(data):
    with pytest.raises(InvalidUsage, match="reading a log record"):
        decode(data)
