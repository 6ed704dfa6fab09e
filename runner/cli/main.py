"""``tierform``: the commands and their arguments. What they do is imported when they run, so that help is quick."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from runner import __version__
from runner.cli.exits import EPILOG, Exit, leave, leave_at_once
from runner.errors import NeverRetry, TierformError

app = typer.Typer(
    name="tierform",
    help="Deploys tenants: orchestrations of Terraform and other activities, tier by tier, durably over NATS JetStream.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich's help takes twice as long to show as everything else together.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Output = Literal["text", "json"]
ProjectOption = Annotated[
    Path,
    typer.Option("--project", envvar="TIERFORM_PROJECT", show_default="the current folder", help="Project folder."),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="TIERFORM_DATA_DIR", help="Data folder; PROJECT/.tierform when not given."),
]
NatsOption = Annotated[
    str | None,
    typer.Option(
        "--nats", envvar="TIERFORM_NATS", help="URL of your own NATS server; without it one runs in the data folder."
    ),
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", envvar="TIERFORM_OUTPUT", help="What to print on standard output.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The orchestration's id.")]
HERE = Path()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tierform {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command(
    epilog="Examples:  tierform run tenant.deploy -i tenantId=acme -i domain=acme.example.com   |   "
    "tierform run tenant.deploy -f acme.yaml --output json"
)
def run(
    target: Annotated[str, typer.Argument(metavar="TYPE_OR_FILE", help="A definition's type, or a file with one.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="One input; lies over --file. May be repeated."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE|-", help="An object of inputs, JSON or YAML.")
    ] = None,
    each: Annotated[
        Path | None,
        typer.Option("--each", metavar="FILE.jsonl", help="One orchestration per line, each an object of inputs."),
    ] = None,
    oid: Annotated[
        str | None, typer.Option("--id", help="The orchestration's id; the same again resumes or shows it.")
    ] = None,
    correlation_id: Annotated[str, typer.Option("--correlation-id", help="Ties orchestrations together.")] = "",
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it, leave it running in the background and return.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="30m",
            help="Cancel it after so long (s, m, h); with --detach: wait so long for its end.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ACTIVITY", help="Run this activity only. May be repeated.")
    ] = None,
) -> None:
    """Run an orchestration and print its outputs."""
    from runner.cli.commands.run import RunRequest, run_command

    request = RunRequest(
        target=target,
        assignments=tuple(inputs or ()),
        file=file,
        each=each,
        oid=oid,
        correlation_id=correlation_id,
        output=output,
        detach=detach,
        timeout=timeout,
        only=tuple(only or ()),
    )
    raise typer.Exit(run_command(request, project, data_dir, nats))


@app.command(epilog="Examples:  tierform validate   |   tierform validate orchestrations/tenant.json types/")
def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]…", help="Files and folders, read as one set.")
    ] = None,
    project: ProjectOption = HERE,
) -> None:
    """Check definitions: all problems at once."""
    from runner.cli.commands.definitions import validate_command

    raise typer.Exit(validate_command(paths or [], project))


@app.command(epilog="Examples:  tierform graph tenant.deploy   |   tierform graph tenant.deploy --format mermaid")
def graph(
    target: Annotated[str, typer.Argument(metavar="TYPE_OR_FILE", help="A definition's type, or a file with one.")],
    format: Annotated[  # noqa: A002 - the option's name
        Literal["text", "mermaid", "dot"], typer.Option("--format", help="How to draw it.")
    ] = "text",
    project: ProjectOption = HERE,
) -> None:
    """Draw the tiers of an orchestration definition."""
    from runner.cli.commands.definitions import graph_command

    raise typer.Exit(graph_command(target, format, project))


@app.command(epilog="Examples:  tierform new sandbox   |   tierform new . ")
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it.")],
) -> None:
    """Make a sandbox project that `tierform run` works in at once."""
    from runner.cli.commands.definitions import new_command

    raise typer.Exit(new_command(folder))


@app.command("list", epilog="Examples:  tierform list   |   tierform list --correlation-id acme --output json")
def list_(
    correlation_id: Annotated[str | None, typer.Option("--correlation-id", help="Only those tied to it.")] = None,
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """List orchestrations, newest first."""
    from runner.cli.commands.look import list_command

    raise typer.Exit(list_command(correlation_id, output, project, data_dir, nats))


@app.command(epilog="Examples:  tierform show 6f1c   |   tierform show 6f1c --output json")
def show(
    oid: IdArgument,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print secret outputs in the clear.")] = False,
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Show an orchestration, and of each activity why it is not running."""
    from runner.cli.commands.look import show_command

    raise typer.Exit(show_command(oid, output, reveal, project, data_dir, nats))


@app.command(epilog="Examples:  tierform logs 6f1c   |   tierform logs 6f1c -f")
def logs(
    oid: IdArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Print what happened and what the activities said."""
    from runner.cli.commands.look import logs_command

    raise typer.Exit(logs_command(oid, follow, project, data_dir, nats))


@app.command(epilog="Examples:  tierform cancel 6f1c   |   tierform cancel 6f1c --reason 'wrong domain'")
def cancel(
    oid: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Kept in the history.")] = "",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Stop an orchestration: what runs is interrupted gracefully, nothing more starts."""
    from runner.cli.commands.control import cancel_command

    raise typer.Exit(cancel_command(oid, reason, project, data_dir, nats))


@app.command(epilog="Examples:  tierform retry 6f1c   |   tierform retry 6f1c --from ingress")
def retry(
    oid: IdArgument,
    from_activity: Annotated[
        str, typer.Option("--from", metavar="ACTIVITY", help="Run from this activity on, whatever has completed.")
    ] = "",
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Resume an ended orchestration from its failed activities, in a new generation."""
    from runner.cli.commands.control import retry_command

    raise typer.Exit(retry_command(oid, from_activity, output, project, data_dir, nats))


@app.command(epilog="Examples:  tierform pause 6f1c   |   tierform pause 6f1c --reason 'change freeze'")
def pause(
    oid: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Kept in the history.")] = "",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Start nothing more of an orchestration until it is resumed; what runs goes on."""
    from runner.cli.commands.control import pause_command

    raise typer.Exit(pause_command(oid, "pause", reason, project, data_dir, nats))


@app.command(epilog="Examples:  tierform resume 6f1c   |   tierform resume 6f1c --nats nats://localhost:4222")
def resume(
    oid: IdArgument,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Let a paused orchestration go on."""
    from runner.cli.commands.control import pause_command

    raise typer.Exit(pause_command(oid, "resume", "", project, data_dir, nats))


@app.command(
    epilog="Examples:  tierform complete 6f1c approval --token T   |   tierform complete 6f1c call --token T -i code=200"
)
def complete(
    oid: IdArgument,
    activity: Annotated[str, typer.Argument(metavar="ACTIVITY", help="The waiting activity's id.")],
    token: Annotated[str, typer.Option("--token", envvar="TIERFORM_COMPLETION_TOKEN", help="Its completion token.")],
    outputs: Annotated[
        list[str] | None, typer.Option("--output-value", "-i", metavar="KEY=VALUE", help="One output. May be repeated.")
    ] = None,
    keep_waiting: Annotated[bool, typer.Option("--keep-waiting", help="Give the outputs, but let it wait on.")] = False,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Complete an activity that waits, from outside."""
    from runner.cli.commands.control import complete_command

    outcome: Literal["data", "complete"] = "data" if keep_waiting else "complete"
    raise typer.Exit(complete_command(oid, activity, token, outcome, "", outputs or [], project, data_dir, nats))


@app.command(
    epilog="Examples:  tierform fail 6f1c approval --token T --error 'not wanted'   |   tierform fail 6f1c call --token T"
)
def fail(
    oid: IdArgument,
    activity: Annotated[str, typer.Argument(metavar="ACTIVITY", help="The waiting activity's id.")],
    token: Annotated[str, typer.Option("--token", envvar="TIERFORM_COMPLETION_TOKEN", help="Its completion token.")],
    error: Annotated[str, typer.Option("--error", help="Why; its orchestration's error.")] = "",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Fail an activity that waits, from outside."""
    from runner.cli.commands.control import complete_command

    raise typer.Exit(complete_command(oid, activity, token, "fail", error, [], project, data_dir, nats))


@app.command(epilog="Examples:  tierform history 6f1c   |   tierform history 6f1c --output json")
def history(
    oid: IdArgument,
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Print every transition of an orchestration: when, which attempt, which agent."""
    from runner.cli.commands.history import history_command

    raise typer.Exit(history_command(oid, output, project, data_dir, nats))


@app.command(epilog="Examples:  tierform verify 6f1c   |   tierform verify")
def verify(
    oid: Annotated[str | None, typer.Argument(metavar="[ID]", help="One orchestration; all when not given.")] = None,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Fold the log again and compare it with what is stored."""
    from runner.cli.commands.history import verify_command

    raise typer.Exit(verify_command(oid, project, data_dir, nats))


@app.command("dead-letters", epilog="Examples:  tierform dead-letters list   |   tierform dead-letters requeue 17")
def dead_letters(
    action: Annotated[Literal["list", "show", "requeue", "drop"], typer.Argument(help="What to do.")],
    number: Annotated[int | None, typer.Argument(metavar="[NUMBER]", help="Which one; not for list.")] = None,
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Look at messages that nobody can process; put one back, or drop it."""
    from runner.cli.commands.dead_letters import dead_letters_command

    raise typer.Exit(dead_letters_command(action, number, output, project, data_dir, nats))


@app.command(epilog="Examples:  tierform purge --older-than 30d   |   tierform purge --keep 1000")
def purge(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="30d", help="Those that ended longer ago (s, m, h, d).")
    ] = None,
    keep: Annotated[int | None, typer.Option("--keep", min=0, help="All but so many, those that ended last.")] = None,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Remove orchestrations that have ended, with their histories and secrets."""
    from runner.cli.commands.keeping import purge_command

    raise typer.Exit(purge_command(older_than, keep, project, data_dir, nats))


@app.command(
    epilog="Examples:  tierform backup tierform.tar   |   tierform backup tierform.tar --data-dir /srv/tierform"
)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; replaced when it is there.")],
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Write everything that the installation holds into one file, whatever runs; the key file is not in it."""
    from runner.cli.commands.keeping import backup_command

    raise typer.Exit(backup_command(file, project, data_dir, nats))


@app.command(epilog="Examples:  tierform restore tierform.tar   |   tierform restore tierform.tar --force")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `tierform backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the installation holds.")] = False,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Put a backup into an empty installation."""
    from runner.cli.commands.keeping import restore_command

    raise typer.Exit(restore_command(file, force, project, data_dir, nats))


@app.command(epilog="Examples:  tierform serve --nats nats://localhost:4222   |   tierform serve --keep-days 30")
def serve(
    keep_days: Annotated[
        int, typer.Option("--keep-days", min=0, help="Remove what ended longer ago; 0 keeps it for ever.")
    ] = 90,
    keep_count: Annotated[
        int | None, typer.Option("--keep-count", min=0, help="Remove all but so many that have ended.")
    ] = None,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Run an engine; any number of them share the work."""
    from runner.cli.commands.serve import serve_command

    raise typer.Exit(serve_command(keep_days, keep_count, project, data_dir, nats))


@app.command(
    epilog="Examples:  tierform agent --nats nats://localhost:4222   |   tierform agent dns.example.com --concurrency 4"
)
def agent(
    types: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TYPE]…", help="Activity types; all there are processors for when none is given."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, envvar="TIERFORM_CONCURRENCY", help="Activities at once.")
    ] = 8,
    drain_seconds: Annotated[
        float, typer.Option("--drain-seconds", min=0, help="How long running activities may finish at SIGTERM.")
    ] = 20.0,
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Run an agent: it executes activities of the given types, on this host or another."""
    from runner.cli.commands.serve import agent_command

    raise typer.Exit(agent_command(types or [], concurrency, drain_seconds, project, data_dir, nats))


@app.command(epilog="Examples:  tierform stop   |   tierform stop --data-dir /var/lib/tierform")
def stop(
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
) -> None:
    """Stop what `run --detach` left running in the data folder; everything is kept."""
    from runner.cli.commands.control import stop_command

    raise typer.Exit(stop_command(project, data_dir))


@app.command("rotate-key", epilog="Examples:  tierform rotate-key   |   tierform rotate-key --project deploys")
def rotate_key(
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Make a new key for secrets and wrap every stored secret by it; older keys still open what they did."""
    from runner.cli.commands.keys import rotate_key_command

    raise typer.Exit(rotate_key_command(project, data_dir, nats))


@app.command(epilog="Examples:  tierform doctor   |   tierform doctor --output json")
def doctor(
    output: OutputOption = "text",
    project: ProjectOption = HERE,
    data_dir: DataDirOption = None,
    nats: NatsOption = None,
) -> None:
    """Look at this installation: what is used, why, and what is wrong."""
    from runner.cli.commands.doctor import doctor_command

    raise typer.Exit(doctor_command(output, project, data_dir, nats))


def exit_code_of(error: TierformError) -> Exit:
    """The exit code that an error means."""
    return Exit.INVALID if isinstance(error, NeverRetry) else Exit.ERRORED


def main(arguments: list[str] | None = None) -> None:
    """The console script: runs one command and exits. A user's mistake is a sentence, never a traceback."""
    try:
        code: Any = app(args=arguments, standalone_mode=False)
    except typer.Abort:
        leave(Exit.INTERRUPTED)
    except typer.Exit as leaving:
        leave(leaving.exit_code)
    except KeyboardInterrupt:
        leave(Exit.INTERRUPTED)
    except BrokenPipeError:
        leave_at_once(Exit.ERRORED)
    except TierformError as error:
        typer.echo(f"error: {error}", err=True)
        leave(exit_code_of(error))
    except Exception as error:  # noqa: BLE001 - Typer's usage errors have no public root
        show_usage_error = getattr(error, "show", None)
        if show_usage_error is not None:
            show_usage_error()
            leave(Exit.INVALID)
        from runner.cli.session import report_defect

        typer.echo(f"error: {report_defect(error)}", err=True)
        leave(Exit.ERRORED)
    leave(code or Exit.COMPLETED)


if __name__ == "__main__":
    main()
