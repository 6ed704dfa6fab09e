"""``make bench``: measures what docs/performance.md speaks of, prints a table and writes ``bench.json``.

    python tests/benchmarks/bench.py [--only FIGURE]… [--all] [--full] [--output FILE]

``bench.json`` is a list of ``{"figure", "value", "unit"}``. A figure can be named without its ending ``_os`` or ``_disk``.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))

import orjson
import uvloop
from command_line import demo_seconds, deploy_seconds, each_100_rss_mib, help_seconds
from drivers import embedded_over_binary
from durable import FULL, QUICK, Bench, Scale, bench
from figures import Figure, table

SYNCS = ("os", "disk")
_SIMPLE: dict[str, Callable[[], list[Figure]]] = {
    "help_seconds": help_seconds,
    "deploy_seconds": deploy_seconds,
    "embedded_over_binary": embedded_over_binary,
    "each_100_rss_mib": each_100_rss_mib,
    "demo_seconds": demo_seconds,
}
_SLOW = frozenset({"demo_seconds"})
_EMPTY = ("engine_rate_over_yardstick", "diamond_latency_over_yardstick", "wide_tier_cost")
_GROWN = ("cost_growth", "engine_rss_mib")
_NAMES = (*_SIMPLE, *(f"{name}_{sync}" for name in (*_EMPTY, *_GROWN) for sync in SYNCS))


async def durable(wanted: frozenset[str], sync: str, scale: Scale) -> list[Figure]:
    """The wanted figures of the engine at one setting of the server's sync."""
    found: list[Figure] = []
    if not any(name.endswith(f"_{sync}") for name in wanted):
        return found
    async with bench(sync, scale) as empty:
        for name in _EMPTY:
            if f"{name}_{sync}" in wanted:
                _say(f"{name}_{sync}")
                found += await getattr(empty, name)()
        if any(f"{name}_{sync}" in wanted for name in _GROWN):
            found += await _grown(empty, sync, scale)
    return found


async def _grown(empty: Bench, sync: str, scale: Scale) -> list[Figure]:
    _say(f"cost_growth_{sync} and engine_rss_mib_{sync}: filling")
    async with bench(sync, scale) as full:
        memory = await full.fill()
        _say(f"cost_growth_{sync}")
        return await full.cost_growth(empty, memory)


def _say(text: str) -> None:
    print(f"measuring {text}", file=sys.stderr, flush=True)  # noqa: T201


def _wanted(only: Sequence[str], *, everything: bool) -> frozenset[str]:
    if not only:
        return frozenset(name for name in _NAMES if everything or name not in _SLOW)
    found = set()
    for asked in only:
        meant = [name for name in _NAMES if name in (asked, f"{asked}_os", f"{asked}_disk")]
        if not meant:
            sys.exit(f"there is no figure {asked}; there are: {', '.join(_NAMES)}")
        found.update(meant)
    return frozenset(found)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure the figures of docs/performance.md.")
    parser.add_argument("--only", action="append", default=[], metavar="FIGURE", help="Only this one; may be repeated.")
    parser.add_argument("--all", action="store_true", help="The slow ones too: demo_seconds.")
    parser.add_argument("--full", action="store_true", help="cost_growth beside 100,000 finished orchestrations.")
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="Where the figures go.")
    options = parser.parse_args()
    wanted = _wanted(options.only, everything=options.all)
    figures: list[Figure] = []
    for name, measure in _SIMPLE.items():
        if name in wanted:
            _say(name)
            figures += measure()
    for sync in SYNCS:
        figures += uvloop.run(durable(wanted, sync, FULL if options.full else QUICK))
    print(table(figures))  # noqa: T201
    listed = [{"figure": one.name, "value": one.value, "unit": one.unit} for one in figures]
    options.output.write_bytes(orjson.dumps(listed, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
