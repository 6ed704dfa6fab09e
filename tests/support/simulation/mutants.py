"""Breaks the engine in one place at a time and looks whether the simulation notices.

A mutant is a replacement in one module's source, made while that module is imported, in a process of its own: no file is
touched. It is caught when a seed breaks an invariant; the kept seeds and the first ones are enough for every one.
"""

import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[3]
SEEDS = 400
"""How many seeds a mutant may survive before it counts as not noticed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken rule.

    Attributes:
        breaks: The rule.
        old: Occurs once in the module's source.
    """

    name: str
    breaks: str
    module: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "any-lease",
        "a report counts only with the live lease",
        "runner.engine.reports",
        "        and activity.lease == event.lease\n",
        "",
    ),
    Mutant(
        "any-delivery",
        "a report of an agent that lost its task counts for nothing",
        "runner.engine.reports",
        "        and activity.delivery <= event.delivery\n",
        "",
    ),
    Mutant(
        "half-a-tier",
        "a tier starts when the whole tier before has completed",
        "runner.engine.advancing",
        "size=len(names)",
        "size=min(1, len(names))",
    ),
    Mutant(
        "too-eager",
        "an activity starts when what it depends on has completed",
        "runner.engine.advancing",
        "if name not in known and done.issuperset(within.intersection(t.plan.activities[name].depends_on))",
        "if name not in known",
    ),
    Mutant(
        "early-timers",
        "nothing happens before its time",
        "runner.engine.reducer",
        "if activity.due_millis and activity.due_millis <= t.now:",
        "if activity.due_millis:",
    ),
    Mutant(
        "one-attempt-more",
        "attempts are limited",
        "runner.engine.reports",
        "if activity.attempt >= rule.max_attempts:",
        "if activity.attempt > rule.max_attempts:",
    ),
    Mutant(
        "on-after-failure",
        "after a fatal error nothing new starts",
        "runner.engine.state",
        "return self.cancelling or bool(self.failed_activity)",
        "return self.cancelling",
    ),
    Mutant(
        "undeleted",
        "a deleted context key is gone when its activity completes",
        "runner.engine.folding",
        "values.pop(key, None)",
        "pass",
    ),
    Mutant(
        "acknowledged-first",
        "what was acknowledged is not lost when an engine dies",
        "runner.interpreter.engine",
        "        loaded = self._loaded.get(oid) or await self._store.load(oid)\n",
        "        await _acknowledge(items)\n        loaded = self._loaded.get(oid) or await self._store.load(oid)\n",
    ),
    Mutant(
        "no-compare-and-set",
        "two engines never write the same orchestration's next record",
        "runner.interpreter.orchestrations",
        "expected=loaded.sequence",
        "expected=None",
    ),
    Mutant(
        "no-take-over",
        "timers survive the death of their engine",
        "runner.interpreter.engine",
        "            self._look_through(gained)\n",
        "            pass\n",
    ),
    Mutant(
        "deaf-to-releases",
        "timers survive an engine that was believed dead",
        "runner.interpreter.membership",
        "            self._on_release(released & before & owned)\n",
        "            pass\n",
    ),
    Mutant(
        "claims-for-all",
        "what has completed is not done again",
        "runner.interpreter.engine",
        "    live = holds_lease(state, claim)\n",
        "    live = True\n",
    ),
    Mutant(
        "no-sweeper",
        "a task lost between log and queue is dispatched again",
        "runner.interpreter.sweeper",
        "confirmed = suspects & self._suspects",
        "confirmed = suspects & set()",
    ),
    Mutant(
        "no-response",
        "every orchestration that ended has its response",
        "runner.interpreter.outbox",
        "        if orchestration.is_terminal:\n            await self.respond(orchestration)\n",
        "",
    ),
)


class _Mutating(importlib.machinery.SourceFileLoader):
    """Loads one module with the mutant's replacement; never from a cache, never into one."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        if source.count(self.mutant.old) != 1:
            message = f"mutant '{self.mutant.name}' fits {source.count(self.mutant.old)} places of {fullname}: renew it"
            raise ImportError(message)
        return compile(source.replace(self.mutant.old, self.mutant.new), self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds the mutant's module before the others do."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Mutating(name, spec.origin)
        loader.mutant = self._mutant
        spec.loader = loader
        return spec


def _live(mutant: Mutant, seeds: Iterable[int]) -> str:
    """Play seeds with the mutant until one breaks an invariant: which, and by what seed; empty when none did."""
    sys.meta_path.insert(0, _Finder(mutant))  # type: ignore[arg-type]
    from simulation.running import kept_seeds, run_seed  # noqa: PLC0415 - after the finder

    for seed in [*kept_seeds(), *seeds]:
        try:
            broken = run_seed(seed).violations
        except Exception as error:  # noqa: BLE001 - A log that cannot even be folded is noticed, too.
            return f"{seed}\t{type(error).__name__}: {error}"
        if broken:
            return f"{seed}\t{broken[0][0].replace('_', ' ')}"
    return ""


def play(mutant: Mutant, count: int = SEEDS) -> tuple[str, str]:
    """Which seed caught the mutant, and the invariant; two empty texts when it survived.

    Raises:
        RuntimeError: It does not fit its module any more.
    """
    command = [sys.executable, "-m", "simulation.mutants", mutant.name, str(count)]
    path = os.pathsep.join((str(ROOT / "tests" / "support"), str(ROOT)))
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    seed, _, invariant = done.stdout.strip().partition("\t")
    return seed, invariant


def play_all(count: int = SEEDS) -> dict[Mutant, tuple[str, str]]:
    """As `play`, every mutant on every core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(MUTANTS, pool.map(lambda mutant: play(mutant, count), MUTANTS), strict=True))


if __name__ == "__main__":
    named = next(mutant for mutant in MUTANTS if mutant.name == sys.argv[1])
    sys.stdout.write(_live(named, range(int(sys.argv[2]))))
