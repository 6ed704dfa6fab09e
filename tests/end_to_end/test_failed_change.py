"""What a failed orchestration undoes, with the real command: what it made, and never what was there before."""

import os
import subprocess

import pytest
from documentation import COMMAND

DEFINITIONS = """
- {type: part, provider: terraform, config: {module: part, workspace: "{{ name }}"}}
- type: tenant.deploy
  compensation: tenant.dispose
  activities:
    - {id: first, type: part, discriminator: deploy, inputs: [{source: one, target: name}, size]}
    - {id: second, type: part, discriminator: deploy, dependsOn: first, inputs: [{source: two, target: name}, size]}
- type: tenant.dispose
  activities:
    - {id: second, type: part, discriminator: dispose, inputs: [{source: two, target: name}]}
    - {id: first, type: part, discriminator: dispose, dependsOn: second, inputs: [{source: one, target: name}]}
"""
MODULE = """
variable "name" { type = string }
variable "size" { type = number }
resource "terraform_data" "part" {
  input = "${var.name} ${var.size}"
  lifecycle {
    precondition {
      condition     = var.name != "b" || var.size < 3
      error_message = "b must be small."
    }
  }
}
output "it" { value = terraform_data.part.output }
"""


@pytest.fixture
def tenant(tmp_path):
    (tmp_path / "orchestrations").mkdir()
    (tmp_path / "orchestrations/tenant.yaml").write_text(DEFINITIONS)
    (tmp_path / "modules/part").mkdir(parents=True)
    (tmp_path / "modules/part/main.tf").write_text(MODULE)

    def run(size):
        return subprocess.run(
            [COMMAND, "run", "tenant.deploy", "-i", "one=a", "-i", "two=b", "-i", f"size={size}"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TIERFORM_KEY_FILE": str(tmp_path / "key")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    run.states = lambda: sorted(path.parent.name for path in tmp_path.glob(".tierform/workspaces/*/terraform.tfstate"))
    return run


def test_a_failed_change_leaves_the_tenant_that_was_there(tenant):
    assert tenant(1).returncode == 0
    failed = tenant(5)
    assert failed.returncode == 1
    assert "b must be small" in failed.stderr
    assert tenant.states() == ["a", "b"]
    assert tenant(2).returncode == 0


def test_a_failed_deployment_of_a_new_tenant_is_undone(tenant):
    failed = tenant(5)
    assert failed.returncode == 1
    assert "compensated" in failed.stderr
    assert tenant.states() == []
    assert failed.stdout == ""
