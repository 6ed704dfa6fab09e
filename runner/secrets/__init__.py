"""Secret values: kept encrypted, carried by reference, masked in every text.

Source: docs/secrets.md.
"""

from runner.secrets.envelope import Envelope
from runner.secrets.keys import Key, Keyring, default_key_file, open_key_file, rotate
from runner.secrets.masking import MASK, SecretMasker
from runner.secrets.references import find_references, names_with_references
from runner.secrets.store import BUCKET, Revealed, SecretStore

__all__ = [
    "BUCKET",
    "MASK",
    "Envelope",
    "Key",
    "Keyring",
    "Revealed",
    "SecretMasker",
    "SecretStore",
    "default_key_file",
    "find_references",
    "names_with_references",
    "open_key_file",
    "rotate",
]
