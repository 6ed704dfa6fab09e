"""Shows orchestrations while they run: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TextIO

from runner.cli.views.text import STATES, duration, first_line
from runner.protocol.messages import Live


class ProgressView(Protocol):
    """Takes what happens, in order."""

    def take(self, live: Live) -> None:
        """One live event."""
        ...

    def say(self, text: str) -> None:
        """A word of the command itself."""
        ...

    def close(self) -> None:
        """Leave the screen as it stands."""
        ...


def sentences(live: Live, *, whole: bool = False) -> list[tuple[str, str]]:
    """What one live event means to a person, as (activity or empty, text) pairs; of an error the first line, or all."""
    if live.what == "started":
        attempt = f" (attempt {live.attempt})" if live.attempt > 1 else ""
        return [(live.activity, f"started{attempt}")]
    if live.what == "progress":
        return [(live.activity, line) for line in live.text.splitlines() if line.strip()]
    return [sentence for fact in live.facts for sentence in _of_fact(fact, str if whole else first_line)]


def _of_fact(fact: Mapping[str, Any], shown: Callable[[str], str]) -> list[tuple[str, str]]:
    activity = fact.get("activity", "")
    kind = fact["fact"]
    if kind == "ended":
        return [("", STATES[fact["state"]])]
    plain = {
        "completed": "completed",
        "waiting": "waits to be completed from outside",
        "failed": f"failed: {shown(fact.get('error', ''))}",
        "retrying": f"will be tried again: {shown(fact.get('error', ''))}",
        "stopping": "told to stop",
        "activityCancelled": "cancelled" + (f": {shown(fact['error'])}" if fact.get("error") else ""),
        "cancelling": "cancelling" + (f": {fact['reason']}" if fact.get("reason") else ""),
        "warned": f"warning: {fact.get('text', '')}",
        "claimed": "taken over by another agent",
        "compensating": "undoing what had started",
        "skipped": shown(fact.get("error", "")),
        "retried": f"generation {fact.get('generation', '')} begins",
        "paused": "paused" + (f": {fact['reason']}" if fact.get("reason") else ""),
        "resumed": "resumed",
        "dataGiven": "was given data from outside",
        "completionRefused": f"a completion from outside was refused: {fact.get('reason', '')}",
    }
    return [(activity, plain[kind])] if kind in plain else []


@dataclass(slots=True)
class PlainProgress:
    """One line per happening, ``12:30:05  did  completed``.

    Attributes:
        many: Whether to name the orchestration in each line.
        whole: Whether to print errors whole; `run` shows them at its end.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    many: bool = False
    whole: bool = False

    def take(self, live: Live) -> None:
        """Print what it means."""
        clock = datetime.fromtimestamp(live.at_millis / 1000).astimezone().strftime("%H:%M:%S")
        owner = f"{live.oid}  " if self.many else ""
        for activity, text in sentences(live, whole=self.whole):
            subject = f"{activity}: " if activity else ""
            indented = text.replace("\n", "\n" + " " * 10)
            print(f"{clock}  {owner}{subject}{indented}", file=self.stream, flush=True)

    def say(self, text: str) -> None:
        """Print it."""
        print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Nothing is left open."""


@dataclass(slots=True)
class _Row:
    tier: int
    status: str = "pending"
    text: str = ""
    began: float = 0.0
    ended: float = 0.0


_ICONS = {
    "pending": "[dim]·[/]",
    "running": "[cyan]▸[/]",
    "completed": "[green]✔[/]",
    "failed": "[red]✘[/]",
    "retrying": "[yellow]↻[/]",
    "waiting": "[yellow]…[/]",
    "cancelled": "[yellow]■[/]",
    "stopping": "[yellow]■[/]",
}
_ECHO_COLUMNS = 3
_STATUS = {
    "completed": "completed",
    "failed": "failed",
    "retrying": "retrying",
    "waiting": "waiting",
    "activityCancelled": "cancelled",
    "stopping": "stopping",
}


class LiveProgress:
    """A table of one orchestration's activities that redraws itself in place.

    Args:
        title: Above the table.
        tiers: Activity ids per tier.
    """

    def __init__(self, title: str, tiers: tuple[tuple[str, ...], ...]) -> None:
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.live import Live as Screen  # noqa: PLC0415

        self._title = title
        self._rows = {name: _Row(index) for index, tier in enumerate(tiers) for name in tier}
        self._console = Console(stderr=True)
        self._screen = Screen(self, console=self._console, refresh_per_second=8, transient=False)
        self._screen.start()

    def take(self, live: Live) -> None:
        """Update the rows; errors and warnings are printed above the table, whole."""
        self._update(live)
        for activity, text in sentences(live):
            row = self._rows.get(activity)
            if row is not None and live.what == "progress":
                row.text = text
            if text.startswith(("failed", "warning", "will be tried")):
                self._screen.console.print(f"{activity}: {text}", markup=False, highlight=False)

    def _update(self, live: Live) -> None:
        row = self._rows.get(live.activity)
        if live.what == "started" and row is not None:
            row.status, row.began = "running", row.began or time.monotonic()
        for fact in live.facts:
            changed = self._rows.get(fact.get("activity", ""))
            if changed is None or fact["fact"] not in _STATUS:
                continue
            changed.status = _STATUS[fact["fact"]]
            if changed.status in ("completed", "failed", "cancelled"):
                changed.ended = time.monotonic()

    def __rich__(self) -> Any:
        from rich.markup import escape  # noqa: PLC0415 - only on a terminal
        from rich.table import Table  # noqa: PLC0415

        # Room for the terminal's echo of Ctrl-C: were it to wrap, the table would be drawn a line lower, twice.
        width = max(self._console.width - _ECHO_COLUMNS, 20)
        table = Table(title=escape(self._title), title_justify="left", box=None, pad_edge=False, width=width)
        table.add_column("tier", width=4)
        table.add_column("", width=1)
        table.add_column("activity", no_wrap=True)
        table.add_column("status", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
        previous = -1
        for name, row in self._rows.items():
            tier = "" if row.tier == previous else str(row.tier + 1)
            previous = row.tier
            elapsed = duration(1000 * ((row.ended or time.monotonic()) - row.began)) if row.began else ""
            icon = _ICONS.get(row.status, " ")
            table.add_row(tier, icon, escape(name), row.status, elapsed, f"[dim]{escape(row.text)}[/]")
        return table

    def say(self, text: str) -> None:
        """Print it above the table."""
        self._screen.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Draw it for the last time."""
        self._screen.stop()
