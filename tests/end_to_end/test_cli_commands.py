"""Every command of the installed script, as a person or a program uses it."""

import json

import pytest
from sandbox import Sandbox, wait_until


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    # Deeper than a socket's path may be long.
    sandbox = Sandbox(tmp_path_factory.mktemp("a-folder-with-a-rather-long-name-" + "x" * 120)).notes()
    yield sandbox
    try:
        sandbox.run("stop")
        sandbox.assert_nothing_left()
        sandbox.assert_no_traceback_in_logs()
    finally:
        sandbox.end()


@pytest.fixture(scope="module")
def served(place):
    """The same with its server up all the time, so that no command has to start it."""
    ended = place.run("run", "note.deploy", "--detach", "--id", "first", *place.inputs("first"))
    assert ended.code == 0, ended
    assert ended.stdout == "first\n"
    return place


def test_help_lists_the_commands_and_the_exit_codes(place):
    ended = place.run("--help")
    assert ended.code == 0
    for word in (
        "run",
        "validate",
        "graph",
        "new",
        "list",
        "show",
        "logs",
        "cancel",
        "stop",
        "doctor",
        "130 interrupted",
    ):
        assert word in ended.stdout
    assert place.run("--version").stdout.startswith("tierform 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("walk",), "walk"),
        (("run",), "TYPE_OR_FILE"),
        (("show",), "ID"),
        (("graph", "note.deploy", "--format", "png"), "png"),
        (("run", "note.deploy", "-i", "name=x", "-i", "ledger=y", "--output", "xml"), "xml"),
        (("run", "note.deploy", "-i", "name=x", "-i", "ledger=y", "--timeout", "soon"), "write it as 90s, 30m or 2h"),
        (("run", "note.deploy", "-i", "name=x", "-i", "ledger=y", "--timeout", "0s"), "--timeout"),
        (("run", "note.deploy", "-i", "name=x", "-i", "ledger=y", "-i", "no-equals-sign"), "KEY=VALUE"),
        (("run", "note.deploy", "-i", "name=x", "-i", "ledger=y", "--id", ""), "--id"),
        (("run", "note.deploy", "-i", "name=x", "-i", "ledger=y", "--id", "x" * 201), "201"),
        (("run", "notes.deploy", "-i", "name=x", "-i", "ledger=y", "--only", "nobody"), "its activities are: a, b, c"),
        (("run", "notes.deploy", "--each", "a.jsonl", "-f", "b.json"), "exclude each other"),
        (("run", "notes.deploy", "--each", "missing.jsonl"), "missing.jsonl"),
        (("run", "notes.deploy", "-f", "missing.json"), "missing.json"),
        (("run", "notes.deploy", "-f", "."), "."),
    ],
)
def test_bad_usage_ends_with_2_and_a_reason(place, arguments, words):
    ended = place.run(*arguments)
    assert (ended.code, ended.stdout) == (2, ""), ended
    assert words in ended.stderr
    assert not place.data.exists()


def test_validate_counts_the_projects_definitions_and_reads_its_paths_as_one_set(place):
    assert "valid: 3 orchestration definitions, 3 activity definitions" in place.run("validate").stdout
    types, uses = place.folder / "types.json", place.folder / "uses.json"
    types.write_text(json.dumps({"type": "t", "provider": "terraform", "config": {"module": "note"}}))
    uses.write_text(json.dumps({"type": "o", "active": True, "schema": {}, "activities": [{"id": "x", "type": "t"}]}))
    assert "valid: 1 orchestration definition, 1 activity definition" in place.run("validate", types, uses).stdout
    alone = place.run("validate", uses)
    assert alone.code == 2
    assert "uses.json" in alone.stderr
    assert "'t'" in alone.stderr


@pytest.mark.parametrize(("form", "sign"), [("text", "tier 2"), ("mermaid", "flowchart"), ("dot", "digraph")])
def test_graph_draws_the_tiers_in_three_forms(place, form, sign):
    ended = place.run("graph", "notes.deploy", "--format", form)
    assert ended.code == 0
    assert sign in ended.stdout


def test_a_new_project_runs_at_once_and_is_not_overwritten(tmp_path):
    place = Sandbox(tmp_path)
    for name in ("TIERFORM_PROJECT", "TIERFORM_DATA_DIR"):
        del place.environment[name]
    made = place.run("new", "first/sandbox")
    assert made.code == 0, made
    assert "cd first/sandbox && tierform run hello.deploy -i tenantId=acme" in made.stderr
    place.data = place.folder / "first/sandbox/.tierform"
    again = place.run("new", "first/sandbox")
    assert (again.code, again.stdout) == (2, "")
    assert "would be overwritten" in again.stderr
    project = ("--project", "first/sandbox")
    ended = place.run("run", "hello.deploy", "-i", "tenantId=acme", *project)
    assert ended.code == 0, ended
    assert "message = " in ended.stdout
    assert place.run("run", "hello.dispose", "-i", "tenantId=acme", *project).code == 0
    place.assert_nothing_left()


def test_inputs_are_read_by_the_schemas_types_and_lie_over_a_file(served):
    path = served.folder / "inputs.yaml"
    path.write_text(f"name: other\nledger: {served.ledger}\nflag: true\n")
    ended = served.run("run", "note.deploy", "-f", path, "-i", "name=17", "-i", "delay=0.5", "-i", "flag=false", "-i", "extra=[1]", "-o", "json")  # fmt: skip
    assert ended.code == 0, ended
    expected = {"name": "17", "ledger": str(served.ledger), "flag": False, "delay": 0.5, "extra": [1]}
    assert ended.json["processingData"] == expected
    assert ended.json["state"] == 2


def test_inputs_come_from_standard_input(served):
    given = json.dumps({"name": "piped", "ledger": str(served.ledger)})
    ended = served.run("run", "note.deploy", "-f", "-", "--output", "json", text=given)
    assert ended.code == 0, ended
    assert ended.json["outputData"]["name"] == "piped"


def test_the_same_id_shows_the_result_again_and_another_input_is_refused(served):
    first = served.run("run", "notes.deploy", "--id", "twice", "-o", "json", *served.inputs("twice"))
    assert first.code == 0, first
    assert first.json["outputData"] == {
        "name": "twice",
        "facts": {"name": "twice", "list": [1, "two", {"three": True}]},
    }
    again = served.run("run", "notes.deploy", "--id", "twice", "-o", "json", *served.inputs("twice"))
    assert (again.code, again.stdout) == (0, first.stdout)
    assert served.run("run", "notes.deploy", "--id", "twice", "-o", "json").stdout == first.stdout
    other = served.run("run", "notes.deploy", "--id", "twice", *served.inputs("thrice"))
    assert (other.code, other.stdout) == (2, "")
    assert "differs in: name" in other.stderr
    assert "choose another --id" in other.stderr
    type_ = served.run("run", "note.deploy", "--id", "twice", *served.inputs("twice"))
    assert (type_.code, type_.stdout) == (2, "")
    assert "'notes.deploy' has that id" in type_.stderr
    assert sorted(line for line in served.lines() if line.endswith("twice") and line.startswith("made")) == [
        f"made {name} twice" for name in "abc"
    ]


def test_each_runs_one_orchestration_per_line_and_list_finds_them_by_correlation_id(served):
    path = served.folder / "many.jsonl"
    path.write_text("".join(f'{{"name": "each{number}"}}\n' for number in range(3)))
    ended = served.run("run", "note.deploy", "--each", path, "-i", f"ledger={served.ledger}", "--id", "batch", "--correlation-id", "group 7/ä", "-o", "json")  # fmt: skip
    assert ended.code == 0, ended
    assert [(one["id"], one["state"], one["outputData"]["name"]) for one in ended.json] == [
        (f"batch-{number + 1}", 2, f"each{number}") for number in range(3)
    ]
    listed = served.run("list", "--correlation-id", "group 7/ä", "--output", "json")
    assert {one["id"] for one in listed.json} == {"batch-1", "batch-2", "batch-3"}
    assert {one["correlationId"] for one in listed.json} == {"group 7/ä"}
    text = served.run("list", "--correlation-id", "group 7/ä")
    assert text.stdout.count("completed") == 3
    assert served.run("list", "--correlation-id", "nobody", "-o", "json").json == []


def test_each_refuses_a_bad_line_before_anything_starts(served):
    path = served.folder / "bad.jsonl"
    path.write_text(f'{{"name": "good", "ledger": "{served.ledger}"}}\n{{"name": ""}}\n')
    ended = served.run("run", "note.deploy", "--each", path, "--correlation-id", "bad-lines")
    assert ended.code == 2
    assert "bad.jsonl:2" in ended.stderr
    path.write_text('{"name": "good"}\n{"name": \n')
    ended = served.run("run", "note.deploy", "--each", path)
    assert ended.code == 2
    assert "bad.jsonl:2:" in ended.stderr
    assert served.run("list", "--correlation-id", "bad-lines", "-o", "json").json == []


def test_only_runs_the_chosen_activities(served):
    ended = served.run("run", "notes.deploy", "--id", "chosen", "--only", "b", "-o", "json", *served.inputs("chosen"))
    assert ended.code == 0, ended
    assert ended.json["completed"] == {"b": {}}
    assert served.statuses("chosen") == {"a": "skipped", "b": "completed", "c": "skipped"}
    assert "left out by --only" in served.run("show", "chosen").stdout


def test_a_file_with_a_definition_is_run_as_it_is(served):
    path = served.folder / "own.json"
    activity = {"id": "x", "type": "note.a", "inputs": ["name", "ledger"]}
    path.write_text(json.dumps({"type": "own.deploy", "active": True, "schema": {}, "activities": [activity]}))
    ended = served.run("run", path, *served.inputs("own"), "-o", "json")
    assert ended.code == 0, ended
    assert ended.json["outputData"]["name"] == "own"


def test_a_timeout_cancels_and_ends_with_4(served):
    ended = served.run(
        "run", "notes.deploy", "--id", "late", "--timeout", "1.5s", "-o", "json", *served.inputs("late", 30)
    )
    assert ended.code == 4, ended
    assert ended.json["state"] == 4
    assert "timed out" in ended.stderr
    shown = served.run("show", "late").stdout
    assert "cancelled" in shown
    assert "nothing new starts" in shown
    assert "made a late" not in served.lines()


def test_a_second_process_cancels_a_running_one_which_ends_with_3(served):
    running = served.start("run", "notes.deploy", "--id", "unwanted", "-o", "json", *served.inputs("unwanted", 30))
    wait_until(lambda: "began a unwanted" in served.lines())
    cancelled = served.run("cancel", "unwanted", "--reason", "wrong tenant")
    assert cancelled.code == 0, cancelled
    ended = running.ended()
    assert ended.code == 3, ended
    assert ended.json["state"] == 4
    assert "wrong tenant" in served.run("logs", "unwanted").stdout
    again = served.run("cancel", "unwanted")
    assert again.code == 0, again
    assert "cancelled" in again.stderr
    assert served.run("run", "notes.deploy", "--id", "unwanted").code == 3


def test_cancelling_what_has_completed_says_so_with_1(served):
    ended = served.run("cancel", "first")
    assert ended.code == 1, ended
    assert "completed" in ended.stderr


def test_an_errored_run_prints_one_document_and_ends_with_1(served):
    served.module("broken", 'variable "name" { type = string }\nresource "terraform_data" "x" {\n  lifecycle {\n    precondition {\n      condition     = var.name == ""\n      error_message = "the name must be empty, ${var.name}"\n    }\n  }\n}\n')  # fmt: skip
    path = served.folder / "broken.json"
    types = [
        {"type": "broken", "provider": "terraform", "config": {"module": "broken", "workspace": "broken"}},
        {"type": "broken.deploy", "active": True, "schema": {}, "activities": [{"id": "x", "type": "broken", "inputs": ["name"]}]},
    ]  # fmt: skip
    path.write_text(json.dumps(types))
    ended = served.run("run", path, "-i", "name=Bo", "--id", "broken", "-o", "json")
    assert ended.code == 1, ended
    assert ended.json["state"] == 3
    assert "the name must be empty, Bo" in ended.json["processingData"]["error"]
    text = served.run("run", path, "-i", "name=Bo")
    assert (text.code, text.stdout) == (1, "")
    assert "Resource precondition failed" in text.stderr
    assert "main.tf:5" in text.stderr
    assert "the name must be empty" in served.run("show", "broken").stdout


def test_two_runs_side_by_side_in_one_data_folder(served):
    first = served.start("run", "notes.deploy", "--id", "left", "-o", "json", *served.inputs("left", 0.5))
    second = served.start("run", "notes.deploy", "--id", "right", "-o", "json", *served.inputs("right", 0.5))
    for running, name in ((first, "left"), (second, "right")):
        ended = running.ended()
        assert ended.code == 0, ended
        assert ended.json["outputData"]["name"] == name
    assert sorted(line for line in served.lines() if line.endswith("left") and line.startswith("made")) == [
        f"made {name} left" for name in "abc"
    ]


def test_a_second_run_of_a_busy_workspace_waits_names_the_holder_and_both_complete(served):
    first = served.start("run", "note.deploy", "--id", "holder", *served.inputs("shared", 2))
    wait_until(lambda: "began a shared" in served.lines())
    second = served.start("run", "note.deploy", "--id", "waiter", *served.inputs("shared", 2))
    second.until("waiting for workspace 'shared-a'")
    assert "orchestration 'holder', activity 'a'" in second.stderr
    assert first.ended().code == 0
    ended = second.ended()
    assert ended.code == 0, ended
    assert "No changes" in ended.stderr
    assert served.lines().count("made a shared") == 1


def test_detach_logs_show_and_list_beside_the_background_worker(served):
    ended = served.run("run", "notes.deploy", "--id", "behind", "--detach", *served.inputs("behind", 3))
    assert (ended.code, ended.stdout) == (0, "behind\n")
    following = served.start("logs", "behind", "-f")
    wait_until(lambda: "began a behind" in served.lines())
    shown = served.run("show", "behind").stdout
    assert "running" in shown
    assert "needs a, b first" in shown
    followed = following.ended()
    assert followed.code == 0
    assert "c: completed" in followed.stdout
    assert followed.stdout.rstrip().endswith("completed")
    assert served.show("behind")["state"] == 2
    detached = served.run(
        "run", "notes.deploy", "--id", "behind", "--detach", "-o", "json", *served.inputs("behind", 3)
    )
    assert detached.json["state"] == 2


def test_unknown_ids_are_bad_input(served):
    for command in ("show", "logs", "cancel"):
        ended = served.run(command, "no-such-id")
        assert (ended.code, ended.stdout) == (2, "")
        assert "'no-such-id'" in ended.stderr
        assert "tierform list" in ended.stderr


@pytest.mark.parametrize("oid", ["../../etc/passwd", "x" * 200, "-ä 🙂.>.*\n$(id)"])
def test_any_text_is_an_id(served, oid):
    ended = served.run("run", "note.deploy", f"--id={oid}", "-o", "json", *served.inputs("first"))
    assert ended.code == 0, ended
    assert ended.json["id"] == oid
    assert served.run("show", "--", oid).stdout.startswith(f"note.deploy  {oid}")


def test_doctor_finds_nothing_wrong_and_prints_json(served):
    ended = served.run("doctor", "--output", "json")
    assert ended.code == 0, ended
    found = {one["what"]: one for one in ended.json}
    assert found["server"]["status"] == "ok"
    assert "terraform" in found["processors"]["detail"]
    assert "embedded" in served.run("doctor").stdout


def test_stop_ends_the_background_worker_and_everything_is_kept(tmp_path):
    place = Sandbox(tmp_path).notes()
    assert place.run("stop").code == 0
    assert "nothing runs" in place.run("stop").stderr
    assert place.run("run", "note.deploy", "--detach", "--id", "kept", *place.inputs("kept", 2)).code == 0
    wait_until(lambda: "began a kept" in place.lines())
    stopped = place.run("stop")
    assert stopped.code == 0
    assert "stopped; everything is kept" in stopped.stderr
    place.assert_nothing_left()
    assert "nothing runs" in place.run("stop").stderr
    ended = place.run("run", "note.deploy", "--id", "kept", "-o", "json")
    assert ended.code == 0, ended
    assert ended.json["outputData"]["name"] == "kept"
    place.assert_nothing_left()
