import base64
import json
import threading
import time
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.activity import Masker
from runner.secrets.forms import forms_of_text
from runner.secrets.masking import SecretMasker

CANARY = 'cAnary"7\\Zp${x}/é%{y}<&>+'


def masker(*secrets) -> SecretMasker:
    made = SecretMasker()
    for secret in secrets:
        made.register(secret)
    return made


def in_base64(secret: str, before: int, encode) -> str:
    return encode(b"\x00" * before + secret.encode() + b"\x01\x02").decode()


SPELLINGS = {
    "clear": CANARY,
    "json": json.dumps(CANARY),
    "json in unicode": json.dumps(CANARY, ensure_ascii=False),
    "json in json": json.dumps(json.dumps({"a": CANARY})),
    "json as Go writes it": '"cAnary\\"7\\\\Zp${x}/é%{y}\\u003c\\u0026\\u003e+"',
    "json of Go in json": json.dumps('"cAnary\\"7\\\\Zp${x}/é%{y}\\u003c\\u0026\\u003e+"', ensure_ascii=False),
    "hcl": '"cAnary\\"7\\\\Zp$${x}/é%%{y}<&>+"',
    "python": repr(CANARY),
    "url": urllib.parse.quote(CANARY, safe=""),
    "url path": urllib.parse.quote(CANARY),
    "url form": urllib.parse.urlencode({"p": CANARY}),
    "url in lower case": "cAnary%227%5cZp%24%7bx%7d%2f%c3%a9%25%7by%7d%3c%26%3e%2b",
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 for urls": base64.urlsafe_b64encode(CANARY.encode()).decode(),
    "base64 without padding": base64.b64encode(CANARY.encode()).decode().rstrip("="),
    **{f"base64 inside of more, {n}": in_base64(CANARY, n, base64.b64encode) for n in range(4)},
    **{f"base64 for urls inside of more, {n}": in_base64(CANARY, n, base64.urlsafe_b64encode) for n in range(4)},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_the_canary_gets_through(spelling):
    cipher: Masker = masker({"nested": [CANARY]})
    masked = cipher.mask(f"before {SPELLINGS[spelling]} after")
    assert "***" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    around = masked.removeprefix("before ").removesuffix(" after").replace("***", "", 1)
    assert len(around) <= len('"{\\"a\\": \\"\\"}"'), around
    assert not any(around.find(CANARY[at : at + 3]) >= 0 for at in range(len(CANARY) - 2))


@settings(deadline=None)
@given(st.text(min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_a_text_with_a_secret_never_keeps_it_whole(secret, before, after):
    masked = masker(secret).mask(before + secret + after)
    assert secret not in masked.replace("***", "\0")


@settings(deadline=None)
@given(st.binary(max_size=10), st.text(st.characters(codec="utf-8"), min_size=8, max_size=40), st.binary(max_size=10))
def test_base64_of_anything_around_a_secret_decodes_to_nothing_of_it(before, secret, after):
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    masked = masker(secret).mask(encoded)
    rest = len(masked.replace("***", ""))
    assert rest <= len(encoded) - len(secret.encode()) * 8 // 6


@settings(deadline=None)
@given(st.lists(st.text("ab", min_size=4, max_size=8), max_size=6), st.text("abc", max_size=60))
def test_secrets_that_overlap_leave_nothing_of_any(secrets, text):
    covered = [False] * len(text)
    for secret in secrets:
        at = text.find(secret)
        while at >= 0:
            covered[at : at + len(secret)] = [True] * len(secret)
            at = text.find(secret, at + 1)
    left = "".join(c for c, hidden in zip(text, covered, strict=True) if not hidden)
    # Letters of base64 that touch a find may go with it; a and b make base64 of none of these secrets.
    assert masker(*secrets).mask(text).replace("***", "") == left


def test_a_text_without_secrets_is_unchanged():
    assert masker().mask("anything") == "anything"
    assert masker("hunter22").mask("hunter2, hunt, \nhunter 22") == "hunter2, hunt, \nhunter 22"


def test_secrets_of_many_lines_are_masked_line_by_line_and_armour_is_left():
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\r\n  kqhkiG9w0BAQ\n-----END PRIVATE KEY-----\n"
    masked = masker(key).mask("line MIIEvQIBADANBg\n    + kqhkiG9w0BAQ\n-----BEGIN PRIVATE KEY-----")
    assert masked == "line ***\n    + ***\n-----BEGIN PRIVATE KEY-----"
    assert masker(key).mask(json.dumps(key)) == '"***"'


@pytest.mark.parametrize("columns", [64, 76])
def test_base64_that_is_wrapped_into_lines_is_masked(columns):
    secret = "s3cret-" * 40
    text = base64.b64encode(secret.encode()).decode()
    lines = [text[at : at + columns] for at in range(0, len(text), columns)]
    assert {masker(secret).mask(line) for line in lines} == {"***"}


def test_space_around_a_secret_does_not_protect_it():
    assert masker("  hunter2!\n").mask("x=hunter2!;") == "x=***;"


def test_short_secrets_are_hidden_as_whole_values_only():
    short = masker("no", "abc", 80)
    assert short.mask("no abc 80") == "no abc 80"
    assert short.mask_value({"a": "no", "b": "none", "c": ["abc"], "d": 80}) == {
        "a": "***",
        "b": "none",
        "c": ["***"],
        "d": 80,
    }


@pytest.mark.parametrize("text", ["5432", "port=5432,", "-5432", "at 5432.", "(5432)", '"5432"'])
def test_numbers_are_masked_as_whole_words(text):
    assert masker(5432).mask(text) == text.replace("5432", "***")


@pytest.mark.parametrize("text", ["15432", "54321", "x5432", "5432_a", "1.5432", "5432.1"])
def test_numbers_inside_of_words_are_left(text):
    assert masker(5432).mask(text) == text


def test_numbers_are_masked_in_either_spelling():
    assert masker(12345.0).mask("12345.0 12345") == "*** ***"
    assert masker(-12345).mask("-12345") == "-***"
    assert masker(10**30).mask(f"{10**30}") == "***"
    assert masker(3.14159).mask("3.14159") == "***"


def test_numbers_and_texts_stand_for_one_another_in_values():
    assert masker("12345").mask_value([12345, 123, 12345.0]) == ["***", 123, "***"]
    assert masker(12345).mask_value(["12345", 12345]) == ["***", "***"]


def test_booleans_null_and_names_are_never_masked():
    made = masker({"username": True, "absent": None, "empty": ""})
    value = {"username": True, "absent": None, "text": "true null username", "empty": ""}
    assert made.mask_value(value) == value


def test_values_are_masked_at_any_depth_names_too():
    assert masker("hunter22").mask_value({"hunter22": [{"a": "is hunter22"}], "b": 1.5}) == {
        "***": [{"a": "is ***"}],
        "b": 1.5,
    }


def test_the_secret_registered_longest_ago_is_forgotten_first():
    made = SecretMasker(limit=2)
    for secret in ("first-one", "second-one", "first-one", "third-one"):
        made.register(secret)
    assert made.mask("first-one second-one third-one") == "*** second-one ***"


def test_forgetting_a_secret_keeps_what_another_one_shares_with_it():
    made = SecretMasker(limit=2)
    for secret in ("shared-line\nold", "shared-line\nnew", "third-one"):
        made.register(secret)
    assert made.mask("shared-line third-one") == "*** ***"


def test_masking_while_others_register_is_safe():
    made = SecretMasker(limit=50)
    made.register("constant-secret")
    stop, failures = threading.Event(), []

    def read():
        while not stop.is_set():
            if "constant-secret" in made.mask("x constant-secret y"):
                failures.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(300):
        made.register(f"constant-{n}-secret")
        made.register("constant-secret")
    stop.set()
    reader.join(10)
    assert failures == []


def test_thousands_of_secrets_and_a_long_text_take_seconds_at_the_most():
    started = time.monotonic()
    made = masker([f"s3cret-№{n}-{n * n}" for n in range(3000)])
    text = "an ordinary line of a log without anything in it\n" * 20_000
    assert made.mask(text + "s3cret-№2999-8994001") == text + "***"
    assert time.monotonic() - started < 10


def test_plain_words_have_few_spellings():
    assert len(forms_of_text("correcthorsebattery")) <= 4
