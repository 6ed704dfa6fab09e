"""The scripts for Atlantis and Spacelift drive the real command from those systems' environments."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
COMMAND = Path(sys.executable).with_name("tierform")
TENANT = {"domain": "acme.example.com", "cell": "eu-1", "metadata": {"plan": "gold"}}
BASE = ("HOME", "PATH", "LANG", "TMPDIR")


class Place:
    """A tenant's folder in a clone, and the environment of the system that runs the script there."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.site = folder / "site"
        self.clone = folder / "clone"
        self.clone.mkdir()
        self.environment = {name: os.environ[name] for name in BASE if name in os.environ}
        self.environment |= {
            "TIERFORM": str(COMMAND),
            "PYTHON": sys.executable,
            "TIERFORM_PROJECT": str(PROJECT),
            "TIERFORM_DATA_DIR": str(folder / "data"),
            "TIERFORM_KEY_FILE": str(folder / "key"),
        }
        self.environment |= environment
        self.tenant(root=str(self.site), **TENANT)

    def tenant(self, **inputs) -> None:
        (self.clone / "tenant.json").write_text(json.dumps(inputs))

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # The pipes are read to their end: a child that keeps one open would run into the timeout.
        return subprocess.run(
            [EXAMPLES / script, *arguments],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def configuration(self) -> dict:
        return json.loads((self.site / "cells/eu-1/active/acme.json").read_text())


@pytest.fixture
def atlantis(tmp_path):
    return Place(
        tmp_path,
        {
            "ATLANTIS_TERRAFORM_VERSION": "1.11.4",
            "ATLANTIS_TERRAFORM_DISTRIBUTION": "terraform",
            "BASE_BRANCH_NAME": "main",
            "BASE_REPO_NAME": "tenants",
            "BASE_REPO_OWNER": "example",
            "COMMENT_ARGS": "",
            "DIR": str(tmp_path / "clone"),
            "HEAD_BRANCH_NAME": "acme",
            "HEAD_COMMIT": "66702f2e0cc9eac5f2d4e1c6a4cf3f4a7ff2b25e",
            "HEAD_REPO_NAME": "tenants",
            "HEAD_REPO_OWNER": "example",
            "PLANFILE": str(tmp_path / "clone/acme-default.tfplan"),
            "PROJECT_NAME": "acme",
            "PULL_AUTHOR": "jo",
            "PULL_NUM": "17",
            "PULL_URL": "https://github.com/example/tenants/pull/17",
            "REPO_REL_DIR": "tenants/acme",
            "SHOWFILE": str(tmp_path / "clone/acme-default.json"),
            "USER_NAME": 'jo "the $(id)"',
            "WORKSPACE": "default",
        },
    )


@pytest.fixture
def spacelift(tmp_path):
    return Place(
        tmp_path,
        {
            "SPACELIFT_API_TOKEN": "not-used",
            "TF_VAR_spacelift_commit_branch": "main",
            "TF_VAR_spacelift_commit_sha": "66702f2e0cc9eac5f2d4e1c6a4cf3f4a7ff2b25e",
            "TF_VAR_spacelift_repository": "tenants",
            "TF_VAR_spacelift_run_id": "01JDB5MKV5Q7Y1E6Q0GVB2V9YQ",
            "TF_VAR_spacelift_run_state": "APPLYING",
            "TF_VAR_spacelift_run_type": "TRACKED",
            "TF_VAR_spacelift_space_id": "tenants-01HGZ",
            "TF_VAR_spacelift_stack_id": "acme",
            "TF_VAR_spacelift_workspace_root": str(tmp_path),
        },
    )


def test_atlantis_plan_shows_the_tiers_and_changes_nothing(atlantis):
    done = atlantis.run("atlantis/tenant.sh", "plan", "tenant.deploy")
    assert done.returncode == 0, done.stderr
    assert all(activity in done.stdout for activity in ("did", "config", "ingress"))
    assert not atlantis.site.exists()


def test_atlantis_apply_deploys_the_projects_tenant_and_dispose_takes_it_away(atlantis):
    done = atlantis.run("atlantis/tenant.sh", "apply", "tenant.deploy")
    assert done.returncode == 0, done.stderr
    identity = "atlantis-17-66702f2e0cc9eac5f2d4e1c6a4cf3f4a7ff2b25e-acme"
    assert f"tenant.deploy {identity}: completed" in done.stdout
    assert 'did = "did:web:acme.example.com"' in done.stdout
    assert atlantis.configuration()["tenant"]["metadata"] == {
        "plan": "gold",
        "pullRequest": "https://github.com/example/tenants/pull/17",
        "commit": "66702f2e0cc9eac5f2d4e1c6a4cf3f4a7ff2b25e",
        "user": 'jo "the $(id)"',
    }
    again = atlantis.run("atlantis/tenant.sh", "apply", "tenant.deploy")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    atlantis.environment["HEAD_COMMIT"] = "7" * 40
    gone = atlantis.run("atlantis/tenant.sh", "apply", "tenant.dispose")
    assert gone.returncode == 0, gone.stderr
    assert list(atlantis.site.iterdir()) == []


def test_atlantis_apply_of_invalid_inputs_ends_with_the_commands_code_and_words(atlantis):
    atlantis.tenant(domain="not a domain", cell="eu-1", root=str(atlantis.site))
    done = atlantis.run("atlantis/tenant.sh", "apply", "tenant.deploy")
    assert done.returncode == 2
    assert "domain" in done.stderr
    assert not atlantis.site.exists()


def test_spacelift_hook_deploys_the_stacks_tenant_and_dispose_takes_it_away(spacelift):
    done = spacelift.run("spacelift/tenant.sh", "tenant.deploy")
    assert done.returncode == 0, done.stderr
    assert "tenant.deploy spacelift-01JDB5MKV5Q7Y1E6Q0GVB2V9YQ-tenant.deploy: completed" in done.stdout
    assert spacelift.configuration()["tenant"]["metadata"] == {
        "plan": "gold",
        "commit": "66702f2e0cc9eac5f2d4e1c6a4cf3f4a7ff2b25e",
        "branch": "main",
        "repository": "tenants",
        "space": "tenants-01HGZ",
    }
    gone = spacelift.run("spacelift/tenant.sh", "tenant.dispose")
    assert gone.returncode == 0, gone.stderr
    assert list(spacelift.site.iterdir()) == []


def test_spacelift_hook_fails_when_an_activity_does(spacelift):
    blocked = spacelift.site / "acme.example.com/.well-known/did.json"
    blocked.mkdir(parents=True)
    done = spacelift.run("spacelift/tenant.sh", "tenant.deploy")
    assert done.returncode == 1
    assert "did.json is a folder" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "variable"),
    [("atlantis/tenant.sh", ("apply",), "PROJECT_NAME"), ("spacelift/tenant.sh", (), "TF_VAR_spacelift_run_id")],
)
def test_scripts_outside_their_system_say_what_is_missing(atlantis, spacelift_environment, script, arguments, variable):
    atlantis.environment |= spacelift_environment
    del atlantis.environment[variable]
    done = atlantis.run(script, *arguments)
    assert done.returncode == 2
    assert f"{variable} is not set" in done.stderr


@pytest.fixture
def spacelift_environment():
    return {"TF_VAR_spacelift_run_id": "1", "TF_VAR_spacelift_stack_id": "acme"}
