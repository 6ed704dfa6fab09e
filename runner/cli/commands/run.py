"""``tierform run``: an engine and an agent in this process, until what was asked for has ended."""

import asyncio
import re
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.assembly.installation import Installation, open_installation
from runner.cli.background import ensure_background
from runner.cli.commands.crew import Crew
from runner.cli.commands.disk import Disk
from runner.cli.commands.following import Follower
from runner.cli.commands.submission import Submission, submit
from runner.cli.exits import Exit, leave_at_once
from runner.cli.session import configure_log, open_project, run_async
from runner.cli.target import Target, find_target, read_each, read_inputs
from runner.cli.views.progress import LiveProgress, PlainProgress, ProgressView
from runner.cli.views.result import print_results
from runner.engine.state import Orchestration, OrchestrationState
from runner.errors import InvalidUsage, TierformError

_TIMEOUT = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST_ID = 200
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line asks for."""

    target: str
    assignments: tuple[str, ...] = ()
    file: str | None = None
    each: Path | None = None
    oid: str | None = None
    correlation_id: str = ""
    output: str = "text"
    detach: bool = False
    timeout: str | None = None
    only: tuple[str, ...] = ()


def run_command(request: RunRequest, project_folder: Path, data_dir: Path | None, nats: str | None) -> Exit:
    """Check everything that can be checked without a server, then run."""
    project, environment = open_project(project_folder, data_dir)
    timeout = _seconds(request.timeout)
    target = find_target(request.target, project)
    batch = _batch(request, target)
    configure_log(project)

    async def work() -> Exit:
        async with open_installation(project, nats, environment) as installation:
            digest = await installation.publish(target.definitions, target.definition.type)
            submissions = [
                Submission(oid, digest, target.definition, inputs, request.correlation_id, request.only)
                for oid, inputs in batch
            ]
            if request.detach:
                return await _detach(installation, target, submissions, request, nats, timeout)
            return await _run(installation, target, submissions, request, timeout)

    return run_async(work())


def _batch(request: RunRequest, target: Target) -> list[tuple[str, dict[str, Any] | None]]:
    """Ids and inputs; None as inputs means that none were given at all."""
    unknown = [name for name in request.only if target.definition.activity(name) is None]
    if unknown:
        raise InvalidUsage(
            f"running '{target.definition.type}': it has no activity {', '.join(unknown)}",
            remedy=f"its activities are: {', '.join(one.id for one in target.definition.activities)}",
        )
    if request.oid is not None and not 0 < len(request.oid) <= _LONGEST_ID:
        raise InvalidUsage(f"--id must have 1 to {_LONGEST_ID} characters, this one has {len(request.oid)}")
    if request.each is not None:
        if request.file is not None:
            raise InvalidUsage("--each and --file exclude each other", remedy="give what is common to all with -i")
        lines = read_each(target.definition, request.each, request.assignments)
        prefix = request.oid or uuid.uuid4().hex[:12]
        return [(f"{prefix}-{number}", inputs) for number, inputs in enumerate(lines, start=1)]
    given = request.file is not None or bool(request.assignments)
    if request.oid is not None and not given:
        return [(request.oid, None)]
    return [(request.oid or uuid.uuid4().hex, read_inputs(target.definition, request.file, request.assignments))]


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = _TIMEOUT.fullmatch(text)
    if found is None or not float(found[1]):
        raise InvalidUsage(f"reading --timeout '{text}': not a duration", remedy="write it as 90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2] or "s"]


async def _detach(
    installation: Installation,
    target: Target,
    submissions: Sequence[Submission],
    request: RunRequest,
    nats: str | None,
    timeout: float | None,  # noqa: ASYNC109 - what the user asked for
) -> Exit:
    """Leave it to the background; with a timeout, wait so long for its end, and leave it running then."""
    for submission in submissions:
        await submit(installation, submission)
    if nats is None:
        await ensure_background(installation.project)
    ids = [submission.oid for submission in submissions]
    ended = await _await_detached(installation, target, ids, request, timeout) if timeout is not None else None
    if ended is not None:
        await print_results(installation, ended, request.output, each=request.each is not None)
        return exit_of(ended, timed_out=False)
    if request.output == "json":
        states = [await _state(installation, oid) for oid in ids]
        await print_results(installation, states, "json", each=request.each is not None)
    else:
        print("\n".join(ids))
    talk = "timed out: it goes on in the background" if timeout is not None else "running in the background"
    print(f"{talk}; see: tierform logs -f ID, tierform show ID, tierform stop", file=sys.stderr)
    return Exit.COMPLETED if timeout is None else Exit.TIMED_OUT


async def _await_detached(
    installation: Installation,
    target: Target,
    ids: Sequence[str],
    request: RunRequest,
    timeout: float,  # noqa: ASYNC109 - what the user asked for
) -> list[Orchestration] | None:
    """The last states, or None when the time was over first."""
    view = _view(request, target, ids)
    follower = Follower(installation, ids, view)
    try:
        async with follower.following(), asyncio.timeout(timeout):
            await follower.until_all_ended()
    except TimeoutError:
        return None
    finally:
        view.close()
    return [follower.ended[oid] for oid in ids]


async def _state(installation: Installation, oid: str) -> Orchestration:
    """The state as soon as there is one."""
    while True:
        state = (await installation.orchestrations.load(oid)).orchestration
        if state is not None:
            return state
        await asyncio.sleep(0.02)


async def _run(
    installation: Installation,
    target: Target,
    submissions: Sequence[Submission],
    request: RunRequest,
    timeout: float | None,  # noqa: ASYNC109 - what the user asked for
) -> Exit:
    ids = [submission.oid for submission in submissions]
    view = _view(request, target, ids)
    plan = await installation.plans.plan(submissions[0].bundle)
    crew = Crew(installation, [plan], frozenset(ids))
    follower = Follower(installation, ids, view)
    try:
        async with follower.following(), crew.working():
            outcome = await _until_ended(crew, follower, submissions, installation, view, timeout)
    finally:
        view.close()
    if outcome is not None:
        return outcome
    states = [follower.ended[oid] for oid in ids]
    await print_results(installation, states, request.output, each=request.each is not None)
    return exit_of(states, timed_out=follower.timed_out)


async def _until_ended(
    crew: Crew,
    follower: Follower,
    submissions: Sequence[Submission],
    installation: Installation,
    view: ProgressView,
    timeout: float | None,  # noqa: ASYNC109 - what the user asked for
) -> Exit | None:
    """Submit, then wait for the end, a failure of the crew, a timeout or an interruption."""

    async def everything() -> None:
        for submission in submissions:
            await submit(installation, submission)
        await follower.until_all_ended()

    main = asyncio.create_task(everything())
    interrupted = asyncio.create_task(crew.interrupted())
    broken = asyncio.create_task(crew.until_broken())
    disk = Disk(installation.project.data.root)
    watching = asyncio.create_task(disk.watch(view.say))
    cancelling: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({main, interrupted, broken}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if main.done():
            main.result()
            return None
        if broken.done():
            broken.result()
        if interrupted.done():
            return await _interrupt(crew, view, follower)
        view.say("timed out: cancelling")
        follower.timed_out = True
        cancelling = asyncio.create_task(_cancel(crew, view, follower, disk))
        await asyncio.wait({main, interrupted, cancelling}, return_when=asyncio.FIRST_COMPLETED)
        return await _interrupt(crew, view, follower) if interrupted.done() else None
    finally:
        for task in (main, interrupted, broken, watching, *([cancelling] if cancelling else [])):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _cancel(crew: Crew, view: ProgressView, follower: Follower, disk: Disk) -> None:
    """Cancel what is open; when that can't be recorded, leave it as it stands, and this process."""
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            await crew.cancel(follower.open, "timed out")
        await disk.is_full_for(_CANCEL_SECONDS)
        reason = "the disk of the data folder is full: there is no space to record it"
    except (TierformError, TimeoutError) as error:
        reason = str(error) or f"the server did not take it within {_CANCEL_SECONDS:g} s"
    view.say(f"it could not be cancelled: {reason}")
    _say_how_to_go_on(view, follower)
    view.close()
    leave_at_once(Exit.TIMED_OUT)


def _say_how_to_go_on(view: ProgressView, follower: Follower) -> None:
    for oid in sorted(follower.open)[:5]:
        view.say(f"orchestration {oid} stands where it was; go on with the same command and --id {oid}")


async def _interrupt(crew: Crew, view: ProgressView, follower: Follower) -> Exit:
    """The first Ctrl-C hands running activities back; a second one ends at once."""
    view.say("interrupted: running activities are stopped gracefully; once more ends at once")
    drained = asyncio.create_task(crew.drain())
    again = asyncio.create_task(crew.interrupted())
    await asyncio.wait({drained, again}, return_when=asyncio.FIRST_COMPLETED)
    _say_how_to_go_on(view, follower)
    if not drained.done():
        view.close()
        leave_at_once(Exit.INTERRUPTED)
    again.cancel()
    drained.result()
    return Exit.INTERRUPTED


def _view(request: RunRequest, target: Target, ids: Sequence[str]) -> ProgressView:
    if request.output == "text" and request.each is None and sys.stderr.isatty():
        chosen = set(request.only)
        tiers = tuple(tuple(name for name in tier if not chosen or name in chosen) for tier in target.tiers)
        return LiveProgress(f"{target.definition.type}  {ids[0]}", tiers)
    view = PlainProgress(many=len(ids) > 1)
    what = ids[0] if len(ids) == 1 else f"{len(ids)} orchestrations"
    view.say(f"{target.definition.type}  {what}")
    return view


def exit_of(states: Sequence[Orchestration], *, timed_out: bool) -> Exit:
    """The exit code that the orchestrations' last states mean."""
    if timed_out and any(state.state is not OrchestrationState.COMPLETED for state in states):
        return Exit.TIMED_OUT
    if any(state.state in (OrchestrationState.ERRORED, OrchestrationState.COMPENSATED) for state in states):
        return Exit.ERRORED
    if any(state.state is OrchestrationState.CANCELLED for state in states):
        return Exit.CANCELLED
    return Exit.COMPLETED
