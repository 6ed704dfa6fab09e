"""Terraform's events as lines for people, and as a ledger of what was done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_DOING = {
    "create": "creating", "update": "changing", "delete": "destroying", "replace": "replacing", "read": "reading",
    "move": "moving", "import": "importing", "remove": "forgetting", "forget": "forgetting",
}  # fmt: skip
_DONE = {"create": "created", "update": "changed", "delete": "destroyed", "read": "read"}
_COUNTED = ("add", "change", "remove", "import")


@dataclass(frozen=True, slots=True)
class Change:
    """One resource and what is to become of it."""

    address: str
    action: str


@dataclass(slots=True)
class Ledger:
    """What a plan wants and what an apply has done so far.

    Attributes:
        counts: ``{"add", "change", "remove", "import"}`` of the plan.
        changes: The plan's, in order.
        started: Operations that began, ``(address, action)``.
        completed: Those that ended well.
        errored: Those that did not.
        outputs: The last ``outputs`` message of an apply; sensitive ones have no value in it.
        dumped_state: A state that Terraform printed because it could not store it anywhere.
    """

    counts: dict[str, int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    started: list[Change] = field(default_factory=list)
    completed: list[Change] = field(default_factory=list)
    errored: list[Change] = field(default_factory=list)
    outputs: dict[str, Any] | None = None
    dumped_state: Any = None

    def summary(self) -> str:
        """``Plan: 1 to add, 0 to change, 2 to destroy``."""
        counts = {name: self.counts.get(name, 0) for name in _COUNTED}
        imported = f"{counts['import']} to import, " if counts["import"] else ""
        return f"Plan: {imported}{counts['add']} to add, {counts['change']} to change, {counts['remove']} to destroy"

    def told(self) -> str:
        """What was made and what was not."""
        done = set(self.completed)
        failed = [change for change in self.started if change not in done and change in self.errored]
        open_ = [change for change in self.started if change not in done and change not in self.errored]
        begun = {change.address for change in self.started}
        untouched = [change for change in self.changes if change.address not in begun]
        parts = [
            ("done", self.completed),
            ("failed", failed),
            ("in progress when it ended, look at it", open_),
            ("not begun", untouched),
        ]
        return "\n".join(f"{title}: {', '.join(map(_described, those))}" for title, those in parts if those)


class Reporter:
    """Takes Terraform's events: keeps the ledger, tells people.

    Args:
        tell: Called with one line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.ledger = Ledger()

    def planning(self, event: Mapping[str, Any]) -> None:
        """An event of ``plan``."""
        kind = event.get("type")
        if kind == "planned_change":
            self.ledger.changes.append(_change(event["change"]))
        elif kind == "change_summary":
            self.ledger.counts = {name: int(event["changes"].get(name, 0)) for name in _COUNTED}

    def applying(self, event: Mapping[str, Any]) -> None:
        """An event of ``apply``."""
        kind = event.get("type")
        if kind == "outputs":
            self.ledger.outputs = event.get("outputs")
        elif isinstance(event.get("state"), dict):
            self.ledger.dumped_state = event["state"]
        elif kind in {"apply_start", "apply_complete", "apply_errored"}:
            self._operation(str(kind), _change(event["hook"]), event["hook"])
        elif kind == "apply_progress":
            hook = event["hook"]
            self._tell(
                f"{_describe(hook)}: still {_DOING.get(hook['action'], hook['action'])}… {hook['elapsed_seconds']}s"
            )

    def initialising(self, event: Mapping[str, Any]) -> None:
        """An event of ``init``: nobody needs those that come with every run."""
        if event.get("type") == "log" and str(event.get("@message", "")).startswith(("Installing", "Downloading")):
            self._tell(str(event["@message"]))

    def _operation(self, kind: str, change: Change, hook: Mapping[str, Any]) -> None:
        name = _describe(hook)
        if kind == "apply_start":
            self.ledger.started.append(change)
            self._tell(f"{name}: {_DOING.get(change.action, change.action)}…")
        elif kind == "apply_complete":
            self.ledger.completed.append(change)
            self._tell(f"{name}: {_DONE.get(change.action, change.action)} after {hook.get('elapsed_seconds', 0)}s")
        else:
            self.ledger.errored.append(change)
            self._tell(f"{name}: {_DOING.get(change.action, change.action)} failed")


def _change(value: Mapping[str, Any]) -> Change:
    return Change(str(value["resource"]["addr"]), str(value["action"]))


def _describe(value: Mapping[str, Any]) -> str:
    return str(value["resource"]["addr"])


def _described(change: Change) -> str:
    return f"{change.address} ({_DOING.get(change.action, change.action)})"
