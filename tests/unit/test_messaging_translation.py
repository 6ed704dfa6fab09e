"""Every foreign error has a name of ours; names and patterns are what the contract says."""

import nats.errors
import pytest

from runner.errors import NeverRetry, Refused, Unreachable
from runner.messaging.jetstream.documents import decode_key, encode_key
from runner.messaging.jetstream.queue import reply_fields
from runner.messaging.jetstream.topology import Names
from runner.messaging.jetstream.translation import CODES, EXCEPTIONS, translate, translate_api
from runner.messaging.ports import SequenceConflict
from runner.messaging.rules import matches, overlap


def test_every_exception_of_the_client_has_a_translation_of_its_own():
    kinds = {kind for kind in vars(nats.errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert len(kinds) > 20
    assert kinds - set(EXCEPTIONS) == set()


def test_an_exception_is_translated_by_its_most_specific_class():
    class Newer(nats.errors.MaxPayloadError):
        pass

    error = translate(Newer(), "publishing")
    assert type(error) is NeverRetry
    assert error.detail.startswith("publishing: ")


def test_an_exception_without_a_translation_is_a_defect():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        translate(ZeroDivisionError(), "doing")


def test_our_own_errors_pass_unchanged():
    error = Refused("no")
    assert translate(error, "doing") is error


@pytest.mark.parametrize(
    ("code", "number", "expected"),
    [
        (400, 10071, SequenceConflict),
        (400, 10164, SequenceConflict),
        (503, 10077, Unreachable),
        (500, 10023, Unreachable),
        (500, 99999, Unreachable),
        (400, 99999, NeverRetry),
        (503, 10039, Refused),
    ],
)
def test_codes_of_the_server_are_translated(code, number, expected):
    error = translate_api({"code": code, "err_code": number, "description": "words"}, "doing it")
    assert type(error) is expected
    assert str(error).startswith(f"doing it: words ({number})")


def test_a_full_disk_comes_with_a_remedy():
    full = [number for number, meaning in CODES.items() if "disk" in meaning.remedy]
    assert {10023, 10047, 10077} <= set(full)


@pytest.mark.parametrize("key", ["a", "a/b", "a.b", "a=b", "a=2Eb", "a/.=/b-_", "=3D.=2E/x"])
def test_keys_survive_their_encoding(key):
    assert decode_key(encode_key(key)) == key


def test_different_keys_have_different_encodings():
    keys = ["a.b", "a/b", "a=2Eb", "a=b", "a=3Db"]
    assert len({encode_key(key) for key in keys}) == len(keys)


def test_different_prefixes_have_different_streams():
    assert len({Names(prefix).base for prefix in ("a.b", "a_b", "a__b", "a._b", "a-b")}) == 5


def test_both_forms_of_an_ack_subject_are_read():
    assert reply_fields("$JS.ACK.stream.consumer.2.30.4.1700000000.5") == (2, 30, 4, 5)
    assert reply_fields("$JS.ACK.domain.account.stream.consumer.2.30.4.1700000000.5.token") == (2, 30, 4, 5)


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a", False),
        ("a.>", "a.b.c", True),
        ("a.b", "a", False),
        ("a", "a.b", False),
    ],
)
def test_patterns(pattern, subject, fits):
    assert matches(pattern, subject) is fits


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [("a.*", "*.b", True), ("a.>", "a.b.c", True), ("a.b", "a.c", False), ("a", "a.b", False), (">", "a", True)],
)
def test_overlap(one, other, both):
    assert overlap(one, other) is both
    assert overlap(other, one) is both
