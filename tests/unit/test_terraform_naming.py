import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.terraform.naming import DEFAULT_TEMPLATE, encode, workspace_key
from processors.terraform.templates import names
from runner.activity import ActivityDetails
from runner.errors import Fatal

DETAILS = ActivityDetails(oid="run-1", id="web", type="demo", correlation_id="tenant-9")


def test_a_plain_key_names_its_folder_itself():
    assert encode("acme-Ingress_2.eu") == "acme-Ingress_2.eu"


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", ".", "..", "/", "a\0b", "~", '${file("/etc/passwd")}', "😀" * 99, "x" * 10_000]
)
def test_a_hostile_key_becomes_one_harmless_name(key):
    name = encode(key)
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 200
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")


def test_long_keys_that_differ_at_the_end_have_different_names():
    assert encode("x" * 10_000 + "a") != encode("x" * 10_000 + "b")


@given(st.text(), st.text())
def test_different_keys_have_different_names(one, other):
    assert (encode(one) == encode(other)) == (one == other)


def test_a_key_cannot_be_chosen_to_look_like_a_shortened_one():
    assert encode(encode("y" * 500)) != encode("y" * 500)


def test_the_default_key_is_the_correlation_id_and_the_activity():
    assert workspace_key(DEFAULT_TEMPLATE, names(DETAILS, {})) == "tenant-9-web"


def test_without_a_correlation_id_the_orchestration_stands_in():
    details = ActivityDetails(oid="run-1", id="web", type="demo")
    assert workspace_key(DEFAULT_TEMPLATE, names(details, {})) == "run-1-web"


def test_a_template_uses_inputs():
    assert workspace_key("{{ tenantId }}-ingress", names(DETAILS, {"tenantId": "acme"})) == "acme-ingress"


def test_an_undefined_name_is_told_with_what_is_known():
    with pytest.raises(Fatal, match=r"config\.workspace:1: 'tenantID' is undefined") as caught:
        workspace_key("{{ tenantID }}", names(DETAILS, {"tenantId": "acme"}))
    assert "tenantId" in caught.value.remedy


def test_an_empty_key_is_refused():
    with pytest.raises(Fatal, match="came out empty"):
        workspace_key("{{ tenantId }}", names(DETAILS, {"tenantId": ""}))


@pytest.mark.parametrize(
    "template", ["{{ ''.__class__.__mro__ }}", "{{ range(10**9) }}", "{% for %}", "{{ 1 / 0 }}", "{{ tenantId.pop() }}"]
)
def test_a_template_that_misbehaves_is_a_plain_error(template):
    with pytest.raises(Fatal, match=r"config\.workspace"):
        workspace_key(template, names(DETAILS, {"tenantId": "acme"}))
