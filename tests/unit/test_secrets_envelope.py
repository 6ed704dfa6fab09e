import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.activity import Cipher
from runner.errors import Refused
from runner.secrets.envelope import Envelope
from runner.secrets.keys import Key, Keyring

OLD, NEW, OTHER = (Key.derive(bytes([n]) * 32) for n in range(3))
ENVELOPE = Envelope(Keyring((OLD,)), "test")
SEALED = ENVELOPE.encrypt(b"canary")


@given(st.binary(max_size=2000))
def test_what_was_encrypted_decrypts(data):
    cipher: Cipher = ENVELOPE
    sealed = cipher.encrypt(data)
    assert cipher.decrypt(sealed) == data
    assert len(sealed) == len(data) + 100


def test_the_plain_text_and_a_repetition_do_not_show():
    assert b"canary" not in SEALED
    assert ENVELOPE.encrypt(b"canary") != SEALED


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_any_altered_bit_is_refused(bit):
    altered = bytearray(SEALED)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused) as caught:
        ENVELOPE.decrypt(bytes(altered))
    assert caught.value.remedy


@given(st.integers(0, len(SEALED) - 1))
def test_any_cut_is_refused(length):
    with pytest.raises(Refused):
        ENVELOPE.decrypt(SEALED[:length])


def test_another_purpose_is_refused():
    with pytest.raises(Refused, match="made for something else"):
        Envelope(ENVELOPE.keyring, "other").decrypt(SEALED)
    with pytest.raises(Refused, match="made for something else"):
        Envelope(Keyring((NEW, OLD)), "other").rewrap(SEALED)


def test_an_unknown_key_is_named_with_those_there_are():
    with pytest.raises(Refused, match=rf"under key {OLD.id}, the key file holds {OTHER.id}, {NEW.id}") as caught:
        Envelope(Keyring((OTHER, NEW)), "test").decrypt(SEALED)
    assert "TIERFORM_KEY_FILE" in caught.value.remedy


def test_a_newer_format_asks_for_an_update():
    with pytest.raises(Refused, match="format 2") as caught:
        ENVELOPE.decrypt(SEALED[:3] + b"\x02" + SEALED[4:])
    assert caught.value.remedy == "update Tierform"


def test_an_old_key_still_decrypts_after_a_rotation():
    assert Envelope(Keyring((NEW, OLD)), "test").decrypt(SEALED) == b"canary"


def test_rewrapping_replaces_the_header_alone_and_makes_the_old_key_dispensable():
    rewrapped = Envelope(Keyring((NEW, OLD)), "test").rewrap(SEALED)
    assert rewrapped[72:] == SEALED[72:]
    assert rewrapped[:72] != SEALED[:72]
    assert Envelope(Keyring((NEW,)), "test").decrypt(rewrapped) == b"canary"
    with pytest.raises(Refused):
        ENVELOPE.decrypt(rewrapped)


def test_rewrapping_twice_changes_nothing():
    assert ENVELOPE.rewrap(SEALED) == SEALED


def test_a_body_moved_under_another_header_is_refused():
    other = ENVELOPE.encrypt(b"canary")
    with pytest.raises(Refused):
        ENVELOPE.decrypt(SEALED[:72] + other[72:])
