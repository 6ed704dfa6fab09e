"""How a run ended: its outputs for people, or one JSON document."""

import sys
from collections.abc import Sequence

from runner.assembly.installation import Installation
from runner.cli.views.text import STATES, duration, json_text, value_text
from runner.engine.presentation import rest_form
from runner.engine.state import Orchestration, OrchestrationState, Status


async def print_results(
    installation: Installation, states: Sequence[Orchestration], output: str, *, each: bool
) -> None:
    """Print the orchestrations: with ``json`` one document (an array for many), else a few lines each."""
    if output == "json":
        forms = [rest_form(await installation.plans.plan(state.bundle), state) for state in states]
        print(json_text(forms if each else forms[0]))
    elif each:
        _print_table(states)
    else:
        print_outputs(states[0])


def print_outputs(state: Orchestration) -> None:
    """State, failures and warnings on stderr; the outputs on stdout."""
    took = duration(state.state_millis - state.created_millis)
    print(f"\n{state.type} {state.oid}: {STATES[int(state.state)]} after {took}", file=sys.stderr)
    for name, activity in state.activities.items():
        if activity.status is Status.FAILED:
            print(f"\n{name} failed:\n{activity.error}", file=sys.stderr)
    if state.error and not state.failed_activity:
        print(f"\n{state.error}", file=sys.stderr)
    for warning in state.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if (
        state.output and state.state is OrchestrationState.COMPLETED
    ):  # Else they are those of what failed, or was undone.
        print("\nOutputs:", file=sys.stderr)
        for key, value in state.output.items():
            print(f"{key} = {value_text(value)}", flush=True)


def _print_table(states: Sequence[Orchestration]) -> None:
    for state in states:
        took = duration(state.state_millis - state.created_millis)
        print(f"{state.oid}  {STATES[int(state.state)]}  {took}  {state.error}".rstrip())
    completed = sum(state.state is OrchestrationState.COMPLETED for state in states)
    print(f"{completed} of {len(states)} completed", file=sys.stderr)
