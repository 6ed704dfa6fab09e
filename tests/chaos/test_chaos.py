import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).with_name("chaos.py")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_is_lost_or_done_twice_when_processes_die_at_random(tmp_path):
    options = ["--seconds", "15", "--orchestrations", "80", "--keep", str(tmp_path / "kept")]
    done = subprocess.run([sys.executable, str(CHAOS), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills of" in done.stdout
