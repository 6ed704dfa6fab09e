import pytest

from processors.terraform.diagnostics import Diagnostic, describe
from processors.terraform.driver import Outcome, OutputReader
from processors.terraform.failures import failure, state_lock
from processors.terraform.progress import Reporter
from processors.terraform.secrecy import Secrets
from runner.errors import Fatal, Retry, Unreachable

LOCKED = Diagnostic(
    "error",
    "Error acquiring the state lock",
    "Error message: operation error S3\nLock Info:\n  ID:        5e0f\n  Path:      b/k\n  Operation: OperationTypeApply\n"
    "  Who:       me@host\n  Version:   1.15.5\n  Created:   2026-11-22 16:21:08.92 +0000 UTC\n",
)


def test_a_diagnostic_is_told_whole():
    value = {
        "severity": "error", "summary": "Unsupported argument", "detail": "No argument named x.\nDid you mean y?", "address": "a.b",
        "range": {"filename": "main.tf", "start": {"line": 3, "column": 1}}, "snippet": {"context": 'resource "a" "b"', "code": "  x = 1"},
    }  # fmt: skip
    text = str(Diagnostic.from_json(value))
    for part in ("Error: Unsupported argument", "main.tf:3", "a.b", "x = 1", 'resource "a" "b"', "Did you mean y?"):
        assert part in text


def test_errors_come_before_warnings():
    assert describe([Diagnostic("warning", "w"), Diagnostic("error", "e")]).startswith("Error: e")


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("ThrottlingException: Rate exceeded", Retry),
        ("read tcp: connection reset by peer", Retry),
        ("StatusCode: 503, RequestID: x", Retry),
        ("operation error S3: PutObject, https response error StatusCode: 500", Retry),
        ("Saved plan is stale", Retry),
        ("An argument named x is not expected here", Fatal),
        ("there are 503 things wrong", Fatal),
    ],
)
def test_passing_errors_are_told_from_lasting_ones(detail, kind):
    found = failure(Outcome(1, (Diagnostic("error", "it went wrong", detail),)), "applying workspace 'x'")
    assert isinstance(found, kind)
    assert detail in str(found)


def test_one_lasting_error_among_passing_ones_is_lasting():
    both = (Diagnostic("error", "a", "throttled"), Diagnostic("error", "b", "no such argument"))
    assert isinstance(failure(Outcome(1, both), "x"), Fatal)


def test_patterns_can_be_added():
    outcome = Outcome(1, (Diagnostic("error", "quota for today"),))
    assert isinstance(failure(outcome, "x"), Fatal)
    assert isinstance(failure(outcome, "x", extra=("quota for today",)), Retry)


def test_a_killed_terraform_is_tried_again():
    assert isinstance(failure(Outcome(-9, died=True), "x"), Unreachable)


def test_a_held_state_lock_is_read():
    lock = state_lock(Outcome(1, (LOCKED,)))
    assert lock is not None
    assert (lock.id, lock.operation, lock.who) == ("5e0f", "OperationTypeApply", "me@host")
    assert state_lock(Outcome(1, (Diagnostic("error", "other"),))) is None


def test_output_is_read_in_whatever_pieces_it_comes():
    events = []
    reader = OutputReader(streams=True, on_event=events.append)
    for piece in (
        b'{"type":"ver',
        b'sion"}\nnot json\n{"type":"diagnostic","diagnostic":{"severity":"error","summary":"s"}}',
        b"\n",
    ):
        reader.stdout(piece)
    outcome = reader.outcome(1, died=False)
    assert [event["type"] for event in events] == ["version", "diagnostic"]
    assert outcome.stdout == "not json\n"
    assert outcome.errors[0].summary == "s"


def _hook(kind, address, action="create"):
    return {"type": kind, "hook": {"resource": {"addr": address}, "action": action, "elapsed_seconds": 1}}


def test_the_ledger_tells_what_was_made_and_what_was_not():
    reporter = Reporter(lambda _: None)
    for address in "abcd":
        reporter.planning({"type": "planned_change", "change": {"resource": {"addr": address}, "action": "create"}})
    for kind, address in (
        ("apply_start", "a"), ("apply_complete", "a"), ("apply_start", "b"), ("apply_errored", "b"), ("apply_start", "c"),
    ):  # fmt: skip
        reporter.applying(_hook(kind, address))
    assert reporter.ledger.told().splitlines() == [
        "done: a (creating)",
        "failed: b (creating)",
        "in progress when it ended, look at it: c (creating)",
        "not begun: d (creating)",
    ]


def test_progress_is_told_in_words():
    lines = []
    reporter = Reporter(lines.append)
    reporter.applying(_hook("apply_start", "aws_x.y"))
    reporter.applying(_hook("apply_complete", "aws_x.y"))
    reporter.applying({"type": "something_new"})
    assert lines == ["aws_x.y: creating…", "aws_x.y: created after 1s"]


class _Silent:
    def register(self, value):
        del value

    def mask(self, text):
        return text


def test_a_value_that_holds_a_secret_is_one():
    secrets = Secrets(_Silent())
    secrets.add({"password": "hunter2!"})
    assert secrets.exposes({"url": ["postgres://u:hunter2!@db"]})
    assert not secrets.exposes({"url": ["postgres://db"]})
