"""Records ``tests/histories`` with the present engine.

    python tests/support/record_histories.py [NAME]…

Records those that are missing, and those that are named. What an earlier version recorded is kept: a history that does
not replay any more is a defect, not a reason to record it again.
"""

import asyncio
import sys

import msgspec
from histories import FOLDER, SCENARIOS, SUBJECTS, Scenario, bundle_of, play, to_lines

from runner.engine.record import decode, fold
from runner.interpreter.compiling import compile_bundle
from runner.messaging.memory import MemoryBus


async def record(scenario: Scenario) -> None:
    """Play one from its start, and write what was stored."""
    bundle, bus = bundle_of(scenario), MemoryBus()
    await play(scenario, compile_bundle(bundle.digest, bundle.to_bytes()), bus, scenario.name)
    entries = bus.logs[SUBJECTS.run(scenario.name)]
    records = [decode(entry.data) for entry in entries]
    states = [fold(records[:number]) for number in range(1, len(records) + 1)]
    (FOLDER / f"{scenario.name}.jsonl").write_bytes(to_lines(entries))
    (FOLDER / f"{scenario.name}.bundle.json").write_bytes(bundle.to_bytes() + b"\n")
    lines = b"".join(msgspec.json.encode(state) + b"\n" for state in states)
    (FOLDER / f"{scenario.name}.states.jsonl").write_bytes(lines)


def main() -> None:
    """Record what is missing or named."""
    FOLDER.mkdir(exist_ok=True)
    for scenario in SCENARIOS:
        if scenario.name in sys.argv[1:] or not (FOLDER / f"{scenario.name}.jsonl").exists():
            asyncio.run(record(scenario))


if __name__ == "__main__":
    main()
