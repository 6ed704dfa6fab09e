"""Envelope encryption: a random data key per value, wrapped by a key of the key file.

The bytes, in order::

    magic      3   b"TFE"
    version    1   1
    key id     8   which key of the file wrapped the data key
    nonce     12   of the wrapping
    data key  48   AES-256-GCM of 32 random bytes; associated data: magic, version, key id, purpose
    nonce     12   of the body
    body     16+n  AES-256-GCM under the data key; associated data: magic, version, purpose

The purpose says what the bytes are, such as ``secret/sec_…``; it is not stored, so bytes copied to another place do not
open there. The body's associated data leaves the key id out: a rotation replaces the first 72 bytes alone.

Source: docs/decisions/secret-values.md.
"""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runner.errors import Refused
from runner.secrets.keys import KEY_BYTES, Keyring

_MAGIC = b"TFE"
_VERSION = 1
_KEY_ID = slice(4, 12)
_NONCE_BYTES = 12
_TAG_BYTES = 16
_WRAPPED = slice(12, 12 + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES)
_SMALLEST = _WRAPPED.stop + _NONCE_BYTES + _TAG_BYTES


@dataclass(frozen=True, slots=True)
class Envelope:
    """Encrypts and decrypts for one purpose; a `runner.activity.Cipher`. Safe for threads.

    Attributes:
        keyring: The first key encrypts, every one decrypts.
        purpose: What the bytes are for; what was encrypted for another purpose does not open.
    """

    keyring: Keyring
    purpose: str

    def encrypt(self, data: bytes) -> bytes:
        """The data under a new data key, wrapped by the primary key; 100 bytes longer."""
        data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        return self._header(data_key) + _seal(data_key, data, self._body_associated())

    def decrypt(self, data: bytes) -> bytes:
        """The reverse.

        Raises:
            runner.errors.Refused: The key file lacks the key, or the bytes were altered or made for another purpose.
        """
        data_key = self._data_key(data)
        return self._open(data_key, data[_WRAPPED.stop :], self._body_associated())

    def rewrap(self, data: bytes) -> bytes:
        """The same bytes with the data key wrapped by the primary key; unchanged when it already is.

        Raises:
            runner.errors.Refused: As for `decrypt`; the body is not looked at.
        """
        data_key = self._data_key(data)
        if data[_KEY_ID] == bytes.fromhex(self.keyring.primary.id):
            return data
        return self._header(data_key) + data[_WRAPPED.stop :]

    def _header(self, data_key: bytes) -> bytes:
        key = self.keyring.primary
        start = _MAGIC + bytes([_VERSION]) + bytes.fromhex(key.id)
        return start + _seal(key.wrapping, data_key, start + self.purpose.encode())

    def _data_key(self, data: bytes) -> bytes:
        self._check_form(data)
        key = self.keyring.find(data[_KEY_ID].hex())
        if key is None:
            raise Refused(
                f"decrypting '{self.purpose}': it was encrypted under key {data[_KEY_ID].hex()}, the key file holds "
                f"{', '.join(known.id for known in self.keyring.keys)}",
                remedy="name the key file it was made with in TIERFORM_KEY_FILE, or add that key's line to yours",
            )
        start = data[: _KEY_ID.stop]
        return self._open(key.wrapping, data[_WRAPPED], start + self.purpose.encode())

    def _check_form(self, data: bytes) -> None:
        if len(data) < _SMALLEST or not data.startswith(_MAGIC):
            raise self._altered()
        if data[3] != _VERSION:
            raise Refused(
                f"decrypting '{self.purpose}': it has format {data[3]}, this version of Tierform reads {_VERSION}",
                remedy="update Tierform",
            )

    def _open(self, key: bytes, sealed: bytes, associated: bytes) -> bytes:
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)
        except InvalidTag as error:
            raise self._altered() from error

    def _altered(self) -> Refused:
        return Refused(
            f"decrypting '{self.purpose}': the stored bytes were altered, cut short, or made for something else",
            remedy="restore the data from a copy, or give the value anew",
        )

    def _body_associated(self) -> bytes:
        return _MAGIC + bytes([_VERSION]) + self.purpose.encode()


def _seal(key: bytes, data: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, associated)
