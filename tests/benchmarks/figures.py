"""What a benchmark finds."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: As in the tables of docs/performance.md.
        unit: ``s``, ``ratio``, ``1/s``, ``ms``, ``MiB``, ``us``…
        floor: The least that is good enough; None for what is only reported.
        aim: What it should be.
        higher_is_better: For a rate.
        note: What a reader has to know of this run.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    aim: float | None = None
    higher_is_better: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """``aim``, ``floor`` or ``missed``; empty without a floor."""
        if self.floor is None or self.aim is None:
            return ""
        if self._reaches(self.aim):
            return "aim"
        return "floor" if self._reaches(self.floor) else "missed"

    def _reaches(self, bound: float) -> bool:
        return self.value >= bound if self.higher_is_better else self.value <= bound


def median(values: Iterable[float]) -> float:
    """The middle of the values."""
    return statistics.median(list(values))


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned columns."""
    rows = [("figure", "value", "unit", "floor", "aim", "reached", "note")]
    rows += [
        (one.name, f"{one.value:.4g}", one.unit, _bound(one.floor), _bound(one.aim), one.verdict, one.note)
        for one in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
