import pytest

from processors.terraform import backends, configuration, environment
from processors.terraform.operations import Operation, operation_of
from processors.terraform.versions import satisfies
from runner.errors import Fatal


def test_an_unknown_key_is_refused_with_the_known_ones():
    with pytest.raises(Fatal, match="unknown 'modul'") as caught:
        configuration.read({"modul": "x"})
    assert "lockTimeout" in caught.value.remedy


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, r"config\.module"),
        ({"module": "m", "varFiles": "x"}, r"config\.varFiles: it must be a list"),
        ({"module": "m", "parallelism": 0}, r"config\.parallelism"),
        ({"module": "m", "parallelism": True}, r"config\.parallelism"),
        ({"module": "m", "backend": {"bucket": "b"}}, r"config\.backend"),
        ({"module": "m", "environment": {"A": []}}, r"config\.environment"),
        ({"module": "m", "approval": "always"}, r"config\.approval: 'always' is not supported yet"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(config, said):
    with pytest.raises(Fatal, match=said):
        configuration.read(config)


def test_what_comes_later_may_be_switched_off():
    assert configuration.read({"module": "m", "approval": "never", "policy": None}).module == "m"


@pytest.mark.parametrize(
    ("module", "is_project"),
    [("ingress", True), ("./x", False), ("git::https://x", False), ("terraform-aws-modules/vpc/aws", False)],
)
def test_a_slash_or_a_scheme_makes_a_source(module, is_project):
    assert configuration.read({"module": module}).is_project_module is is_project


def test_only_what_is_allowed_is_inherited():
    built = environment.build(
        {
            "HOME": "/home/a", "AWS_REGION": "eu", "TF_TOKEN_example_com": "t", "KUBECONFIG": "k", "TF_VAR_x": "leak",
            "TF_CLI_ARGS_plan": "-destroy", "TF_WORKSPACE": "other", "TF_CLI_CONFIG_FILE": "gone", "TF_LOG": "trace", "PYTHONPATH": "p",
        },
        {"EXTRA": "1"},
    )  # fmt: skip
    assert {"HOME", "AWS_REGION", "TF_TOKEN_example_com", "KUBECONFIG", "EXTRA"} <= built.keys()
    assert (
        not {"TF_VAR_x", "TF_CLI_ARGS_plan", "TF_WORKSPACE", "TF_CLI_CONFIG_FILE", "TF_LOG", "PYTHONPATH"}
        & built.keys()
    )
    assert built["TF_INPUT"] == "0"
    assert built["CHECKPOINT_DISABLE"] == "1"


def test_a_definition_cannot_move_the_data_folder():
    with pytest.raises(Fatal, match="TF_DATA_DIR"):
        environment.build({}, {"TF_DATA_DIR": "/elsewhere"})


@pytest.mark.parametrize(
    ("version", "constraint", "fits"),
    [
        ("1.15.5", "1.15.5", True),
        ("1.15.5", "= 1.15.4", False),
        ("1.15.5", "~> 1.9", True),
        ("2.0.0", "~> 1.9", False),
        ("1.9.8", "~> 1.9.2", True),
        ("1.10.0", "~> 1.9.2", False),
        ("1.15.5", ">= 1.8, < 2.0, != 1.9.0", True),
        ("1.10.0", "> 1.9", True),
        ("1.9.0-beta1", ">= 1.9.0", False),
        ("1.15.5", "<= 1.15", False),
    ],
)
def test_constraints_mean_what_they_mean_in_terraform(version, constraint, fits):
    assert satisfies(version, constraint) is fits


def test_a_malformed_constraint_is_refused():
    with pytest.raises(Fatal, match="'latest'"):
        satisfies("1.15.5", "latest")


@pytest.mark.parametrize(
    ("discriminator", "operation"),
    [
        ("", Operation.DEPLOY),
        ("apply", Operation.DEPLOY),
        ("destroy", Operation.DISPOSE),
        ("cfm.orchestration.vpa.dispose", Operation.DISPOSE),
        ("plan", Operation.PLAN),
    ],
)
def test_synonyms_mean_the_same(discriminator, operation):
    assert operation_of(discriminator) is operation


def test_an_unknown_discriminator_is_refused_with_the_known_ones():
    with pytest.raises(Fatal, match="'drift'") as caught:
        operation_of("drift")
    assert "dispose" in caught.value.remedy


def _block(backend, **options):
    return backends.block(backend, {"tenantId": "acme"}, **{"workspace": "acme-web", "single_host": True, **options})


def test_a_local_state_lies_beside_the_configuration():
    assert _block({"type": "local"}) == {"terraform": {"backend": {"local": {"path": "../terraform.tfstate"}}}}


def test_s3_gets_a_key_of_its_own_and_a_lock_file():
    block = _block({"type": "s3", "bucket": "b", "region": "eu"})
    assert block["terraform"]["backend"]["s3"] == {
        "bucket": "b", "region": "eu", "key": "tierform/acme-web/terraform.tfstate", "use_lockfile": True,
    }  # fmt: skip


def test_any_other_backend_passes_through_with_its_templates_rendered():
    block = _block({"type": "pg", "schema_name": "{{ tenantId }}_{{ workspace }}"})
    assert block["terraform"]["backend"]["pg"] == {"schema_name": "acme_acme-web"}


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        ({"type": "local"}, {"single_host": False}, "agents on other hosts"),
        ({"type": "pg", "schema_name": "fixed"}, {}, "every workspace would have the same state"),
        ({"type": "s3", "bucket": "b", "secret_key": "x"}, {}, "secret_key would be written to disk"),
        ({"type": "cloud"}, {}, "runs Terraform elsewhere"),
        ({"type": "pg", "schema_name": "{{ '${a}' }}"}, {}, "would be an expression"),
    ],
)
def test_a_backend_that_loses_or_leaks_is_refused(backend, options, said):
    with pytest.raises(Fatal, match=said):
        _block(backend, **options)
