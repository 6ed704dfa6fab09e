import pytest

from processors.terraform.declarations import assigned
from processors.terraform.inspection import Declared, check_inputs, given_by_files, inspect
from runner.errors import Fatal


async def _silent(_):
    return {"error": "", "diagnostics": []}


async def _inspect(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return await inspect(folder, _silent, module="demo")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a = 1\nb=2", {"a", "b"}),
        ("# x = 1\n// y = 1\n/* z = 1 */\na = 1\n", {"a"}),
        ('a = "x = 1"\n', {"a"}),
        ("a = <<-EOT\n  b = 1\n  }\n  EOT\nc = null\n", {"a", "c"}),
        ("a = {\n  b = 1\n}\n", {"a"}),
        ("", set()),
    ],
)
def test_the_names_of_a_value_file_are_found(text, found):
    assert assigned(text) == found


async def test_variables_without_a_default_are_required(tmp_path):
    declared = await _inspect(
        tmp_path,
        main__tf=(
            'variable "plain" {}\n'
            'variable "typed" {\n  type = object({ default = string })\n}\n'
            'variable "told" {\n  description = "default = 1"\n}\n'
            'variable "checked" {\n  type = string\n  validation {\n'
            '    condition     = can(regex("^[a-z]+$", var.checked))\n    error_message = "no ${"}"} default = 1"\n  }\n}\n'
            'variable "one" { default = 1 }\nvariable "nothing" {\n  default = null\n}\n'
        ),
        more__tf__json='{"variable": {"js": {"type": "string"}, "jd": {"default": 1}}}',
    )
    assert declared.required == {"plain", "typed", "told", "checked", "js"}
    assert declared.variables == declared.required | {"one", "nothing", "jd"}


async def test_an_override_may_give_the_default(tmp_path):
    declared = await _inspect(
        tmp_path, main__tf='variable "a" {}\n', x_override__tf='variable "a" {\n  default = 1\n}\n'
    )
    assert declared.required == frozenset()


async def test_what_is_sensitive_is_known(tmp_path):
    declared = await _inspect(
        tmp_path,
        main__tf='variable "a" {\n  sensitive = true\n}\nvariable "b" {\n  ephemeral = true\n}\nvariable "c" {\n  sensitive = false\n}\n'
        'output "o" {\n  value     = var.a\n  sensitive = true\n}\noutput "p" { value = 1 }\n',
    )
    assert declared.sensitive == {"a", "b"}
    assert declared.outputs == {"o": True, "p": False}


def _check(inputs, *, variables=(), required=(), templates=(), given=()):
    declared = Declared(frozenset(variables) | frozenset(required), frozenset(required), frozenset(), {})
    check_inputs(declared, inputs, template_names=frozenset(templates), given=frozenset(given), module="demo")


def test_inputs_that_fit_pass():
    _check(["a", "t"], variables=["b"], required=["a", "c"], templates=["t"], given=["c"])


def test_both_lists_are_named_with_what_looks_alike():
    with pytest.raises(Fatal) as caught:
        _check(["tenantId", "zone"], required=["tenant_id", "host"])
    assert "uses: 'tenantId', 'zone'" in str(caught.value)
    assert "gives: 'host', 'tenant_id'" in str(caught.value)
    assert "'tenantId' looks like the variable 'tenant_id'" in caught.value.remedy


def test_a_dialect_that_is_not_read_is_left_to_terraform():
    nothing = Declared(frozenset(), frozenset(), frozenset(), {}, complete=False)
    check_inputs(nothing, ["a"], template_names=frozenset(), given=frozenset(), module="demo")


def test_value_files_give_variables(tmp_path):
    for name, text in {
        "terraform.tfvars": "a = 1", "x.auto.tfvars.json": '{"b": 1}', "prod.tfvars": "c = 1", "other.tfvars": "d = 1",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    assert given_by_files(tmp_path, ["prod.tfvars"]) == {"a", "b", "c"}
    with pytest.raises(Fatal, match=r"has no file '\.\./up\.tfvars'"):
        given_by_files(tmp_path, ["../up.tfvars"])
