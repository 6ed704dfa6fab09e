"""The definitions of a chaos run, and what each must come to: computed here, apart from the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ledger_processor import MODULUS

from runner.engine.state import OrchestrationState

STEP, GATE, UNDO = "step.example.com", "gate.example.com", "undo.example.com"
TYPES = (STEP, GATE, UNDO)
_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity; its discriminator says how the processor behaves."""

    id: str
    needs: Sequence[str] = ()
    behaviour: str = "work"


@dataclass(frozen=True, slots=True)
class Kind:
    """One definition and how it is to end.

    Attributes:
        share: Of the orchestrations that are started, in parts.
        generations: How many it runs.
        undone: Whether another definition undoes it.
    """

    name: str
    activities: Sequence[Activity]
    share: int
    ends: OrchestrationState = OrchestrationState.COMPLETED
    generations: int = 1
    undone: bool = False


def _chain(length: int) -> list[Activity]:
    return [Activity(f"c{n}", [f"c{n - 1}"] if n else []) for n in range(length)]


def _wide() -> list[Activity]:
    names = [f"w{n}" for n in range(_WIDTH)]
    return [Activity("first"), *(Activity(name, ["first"]) for name in names), Activity("last", names)]


KINDS = (
    Kind(
        "diamond",
        [
            Activity("first"),
            *(Activity(name, ["first"]) for name in ("left", "middle", "right")),
            Activity("last", ["left", "middle", "right"]),
        ],
        10,
    ),
    Kind("chain", _chain(8), 6),
    Kind("wide", _wide(), 3),
    Kind("slow", [Activity("a", [], "slow"), Activity("b", ["a"], "slow"), Activity("c", ["a"])], 6),
    Kind("stubborn", [Activity("a", [], "retry"), Activity("b", ["a"], "retry"), Activity("c", ["b"])], 6),
    Kind("polling", [Activity("a", [], "poll"), Activity("b", [], "poll"), Activity("c", ["a", "b"])], 6),
    Kind("waiting", [Activity("a"), Activity("w", ["a"], "wait"), Activity("b", ["w"])], 6),
    Kind(
        "doomed",
        [
            Activity("a"),
            Activity("b", ["a"], "slow"),
            Activity("c", ["a"]),
            Activity("d", ["a"], "fatal"),
            Activity("e", ["b", "c", "d"]),
        ],
        6,
        OrchestrationState.COMPENSATED,
        undone=True,
    ),
    Kind("second", [Activity("a"), Activity("f", ["a"], "flaky"), Activity("b", ["f"])], 4, generations=2),
    Kind(
        "endless",
        [Activity("a"), Activity("h", ["a"], "hang"), Activity("w", ["a"], "hold"), Activity("b", ["h", "w"])],
        6,
        OrchestrationState.CANCELLED,
    ),
)


def pick(random: Random) -> Kind:
    """One kind, by its share."""
    return random.choices(KINDS, [kind.share for kind in KINDS])[0]


def documents() -> list[dict[str, Any]]:
    """The definitions as a project's files hold them."""
    rule = {"maxAttempts": 50, "initialIntervalMillis": 40, "maxIntervalMillis": 400}
    found: list[dict[str, Any]] = [{"type": type_, "provider": "ledger", "retry": rule} for type_ in TYPES]
    for kind in KINDS:
        one: dict[str, Any] = {"type": kind.name, "active": True, "activities": [_document(a) for a in kind.activities]}
        if kind.undone:
            one["compensation"] = f"{kind.name}.undo"
            found.append({"type": f"{kind.name}.undo", "active": True, "activities": _undoing(kind.activities)})
        found.append(one)
    return found


def _document(activity: Activity) -> dict[str, Any]:
    return {
        "id": activity.id,
        "type": GATE if activity.behaviour in {"wait", "hold"} else STEP,
        "discriminator": activity.behaviour,
        "dependsOn": list(activity.needs),
        "inputs": ["seed", *({"source": f"{other}.v", "target": other} for other in activity.needs if _gives(other))],
    }


def _gives(name: str) -> bool:
    """A gate is completed from outside, without outputs."""
    return name != "w"


def _undoing(activities: Sequence[Activity]) -> list[dict[str, Any]]:
    """The reverse: what needed an activity is undone before it."""
    return [
        {
            "id": one.id,
            "type": UNDO,
            "discriminator": "undo",
            "dependsOn": [other.id for other in activities if one.id in other.needs],
            "inputs": ["seed"],
        }
        for one in activities
    ]


def values_of(kind: Kind, seed: int) -> dict[str, int]:
    """What each activity gives when everything completes."""
    found: dict[str, int] = {}
    for one in kind.activities:  # Listed after what they need.
        if one.behaviour != "wait":
            found[one.id] = (seed + sum(found.get(other, 0) for other in one.needs) + 1) % MODULUS
    return found


def expected_values(kind: Kind, seed: int) -> Mapping[str, int]:
    """The shared context at the end of a completed orchestration."""
    return {"seed": seed, **{f"k-{name}": value for name, value in values_of(kind, seed).items()}}


def expected_undone(kind: Kind) -> set[str]:
    """Everything that had started before the fatal error stopped what came after."""
    fatal = next(one for one in kind.activities if one.behaviour == "fatal")
    return {one.id for one in kind.activities if fatal.id not in one.needs}
