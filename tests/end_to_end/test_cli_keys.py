"""``rotate-key`` with the installed command."""

import subprocess
import sys
from pathlib import Path

TIERFORM = Path(sys.executable).with_name("tierform")
MODULE = 'variable "password" {\n  type      = string\n  sensitive = true\n}\noutput "out" {\n  value     = var.password\n  sensitive = true\n}\n'
DEFINITIONS = """
- {type: x.example.com, provider: terraform, config: {module: x, workspace: w}}
- type: up
  schema: {type: object, properties: {password: {type: string, sensitive: true}}}
  activities: [{id: a, type: x.example.com, discriminator: deploy, inputs: [password]}]
"""


def test_a_secret_is_read_by_the_new_key_and_the_old_one_stays_in_the_file(tmp_path):
    for name, text in {"modules/x/main.tf": MODULE, "orchestrations/x.yaml": DEFINITIONS}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    key = tmp_path / "keys" / "key"

    def run(*arguments):
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TIERFORM_KEY_FILE": str(key)}
        return subprocess.run(
            [TIERFORM, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert run("run", "up", "--id", "one", "-i", "password=correct-horse").returncode == 0
    before = key.read_text().split()
    rotated = run("rotate-key")
    assert rotated.returncode == 0, rotated.stderr
    after = key.read_text().split()
    assert set(before) < set(after)
    shown = run("show", "one")
    assert "correct-horse" not in shown.stdout
    assert "out = (sensitive)" in shown.stdout
    assert "out = correct-horse" in run("show", "one", "--reveal").stdout
