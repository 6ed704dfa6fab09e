"""``validate``, ``graph`` and ``new``: no server is needed."""

import sys
from pathlib import Path

from runner.cli.exits import Exit
from runner.cli.target import Target, check_providers, find_target, project_definitions
from runner.errors import Refused
from runner.model.loading import load_definitions
from runner.project.folder import Project
from runner.project.scaffold import scaffold


def validate_command(paths: list[Path], project_folder: Path) -> Exit:
    """Check definitions as one set."""
    project = Project.at(project_folder)
    definitions = load_definitions(*paths) if paths else project_definitions(project)
    definitions.check()
    if not paths:
        check_providers(definitions.activities.values(), project)
    orchestrations, activities = len(definitions.orchestrations), len(definitions.activities)
    print(f"valid: {_count(orchestrations, 'orchestration definition')}, {_count(activities, 'activity definition')}")
    for _, definition in sorted(definitions.orchestrations.items()):
        print(f"  {definition.type}{'' if definition.active else ' (not active)'}")
    return Exit.COMPLETED


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def graph_command(target: str, form: str, project_folder: Path) -> Exit:
    """Draw a definition."""
    found = find_target(target, Project.at(project_folder))
    drawing = {"text": _text, "mermaid": _mermaid, "dot": _dot}[form](found)
    print(drawing)
    return Exit.COMPLETED


def _text(target: Target) -> str:
    lines = [target.definition.type]
    for index, tier in enumerate(target.tiers, start=1):
        for position, name in enumerate(tier):
            activity = target.definition.activity(name)
            assert activity is not None  # noqa: S101 - the tiers are made of the definition's activities
            label = f"tier {index}" if position == 0 else ""
            needs = f"  after {', '.join(activity.depends_on)}" if activity.depends_on else ""
            lines.append(f"  {label:8} {name}  ({activity.type}){needs}")
    return "\n".join(lines)


def _mermaid(target: Target) -> str:
    lines = ["flowchart LR"]
    numbers = {activity.id: index for index, activity in enumerate(target.definition.activities)}
    for index, tier in enumerate(target.tiers, start=1):
        lines.append(f'  subgraph tier{index}["tier {index}"]')
        lines += [f'    a{numbers[name]}["{_quoted(name)}"]' for name in tier]
        lines.append("  end")
    for activity in target.definition.activities:
        lines += [f"  a{numbers[other]} --> a{numbers[activity.id]}" for other in activity.depends_on]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _dot(target: Target) -> str:
    lines = ["digraph orchestration {", "  rankdir=LR;", "  node [shape=box];"]
    for tier in target.tiers:
        names = " ".join(f"{_dot_id(name)};" for name in tier)
        lines.append(f"  {{ rank=same; {names} }}")
    for activity in target.definition.activities:
        lines += [f"  {_dot_id(other)} -> {_dot_id(activity.id)};" for other in activity.depends_on]
    return "\n".join([*lines, "}"])


def _dot_id(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def new_command(folder: Path) -> Exit:
    """Write the sandbox and say what to do next."""
    if folder.exists() and not folder.is_dir():
        raise Refused(f"making a project in '{folder}': it is a file", remedy="name a folder")
    for path in scaffold(folder):
        print(path)
    place = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    print(f"\nnow: {place}tierform run hello.deploy -i tenantId=acme", file=sys.stderr)
    return Exit.COMPLETED
