"""The spellings a secret takes on its way into a text: escaped, encoded, cut into lines. Pure."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

MINIMUM = 4
_WRAPPED_COLUMNS = (64, 76)
# What Python, browsers, and Go's url.PathEscape and url.UserPassword leave alone beside letters and digits.
_URL_SAFE_SETS = ("", "/", "$&+:=@", "$&+,;=", "!'()*~")
# What a line of a secret may be without being secret: the armour of keys and certificates.
_ARMOUR = ("-----BEGIN ", "-----END ")
# Go's encoding/json, which Terraform prints with, escapes these in addition.
_GO_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


@dataclass(frozen=True, slots=True)
class Form:
    """One spelling of one secret.

    Attributes:
        text: At least `MINIMUM` characters.
        whole_word: Only counts where no letter, digit, dot or underscore touches it.
        before: One more base64 character in front of it holds bits of the secret.
        after: One more base64 character behind it holds bits of the secret.
    """

    text: str
    whole_word: bool = False
    before: bool = False
    after: bool = False


def forms_of_number(number: Any) -> set[Form]:
    """The spellings of a number, as whole words; none when it has fewer than four digits."""
    return {Form(text, whole_word=True) for text in _number_texts(number) if sum(map(str.isdigit, text)) >= MINIMUM}


def _number_texts(number: Any) -> set[str]:
    texts = {str(number)}
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**63:
        texts.add(str(int(number)))
    return {text.lstrip("-") for text in texts}


def forms_of_text(secret: str) -> set[Form]:
    """Every spelling of a text, and of each line of it; those shorter than `MINIMUM` are left out."""
    found: set[Form] = set()
    for part in _lines(secret):
        found |= {Form(text) for text in _escaped(part) if len(text) >= MINIMUM}
        if len(part) >= MINIMUM:
            found |= set(_encoded(part.encode("utf-8", "surrogatepass")))
    return found


def _lines(secret: str) -> set[str]:
    """The whole, the whole without the space around it, and each line that is no armour."""
    lines = {line.strip() for line in secret.splitlines()}
    return {secret, secret.strip(), *(line for line in lines if not line.startswith(_ARMOUR))}


def _escaped(part: str) -> Iterator[str]:
    yield part
    yield _hcl(part)
    yield repr(part)[1:-1]
    for safe in _URL_SAFE_SETS:
        encoded = quote(part, safe=safe, errors="surrogatepass")
        yield encoded
        yield _lower_hex(encoded)
    plus = quote_plus(part, errors="surrogatepass")
    yield plus
    yield _lower_hex(plus)
    for once in _json(part):
        yield once
        yield from _json(once)  # JSON in a string of JSON, as in a policy document in a plan.


def _json(part: str) -> set[str]:
    plain = {json.dumps(part, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return plain | {text.translate(_GO_ESCAPES) for text in plain} | {text.replace("/", "\\/") for text in plain}


def _hcl(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return escaped.replace("${", "$${").replace("%{", "%%{")


def _lower_hex(encoded: str) -> str:
    head, *rest = encoded.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _encoded(data: bytes) -> Iterator[Form]:
    """Base64 of the data alone, inside of other data at each of the three alignments, and cut into lines."""
    for alphabet in (None, b"-_"):
        for offset in range(3):
            text = base64.b64encode(bytes(offset) + data, alphabet).decode("ascii")
            start = -(-8 * offset // 6)
            core = text[start : (offset + len(data)) * 8 // 6]
            if len(core) >= MINIMUM:
                yield Form(core, before=offset > 0, after=(offset + len(data)) % 3 > 0)
        yield from _wrapped_lines(base64.b64encode(data, alphabet).decode("ascii"))


def _wrapped_lines(text: str) -> Iterator[Form]:
    for columns in _WRAPPED_COLUMNS:
        if len(text) > columns:
            for start in range(0, len(text), columns):
                line = text[start : start + columns]
                if len(line) >= MINIMUM:
                    yield Form(line)
