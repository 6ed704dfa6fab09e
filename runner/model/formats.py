"""The formats that are checked, with the standard library alone, so that every installation agrees.

An unknown format (``password``, ``int64``) allows everything, as JSON Schema has it.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, time
from urllib.parse import urlsplit

from jsonschema import FormatChecker

_TIME = r"\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
_RFC3339_TIME = re.compile(_TIME)
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]" + _TIME)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LABEL = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_URI = re.compile(r"[!#-;=?-\[\]_a-z~%A-Z]+")
_LONGEST_HOST_NAME = 253


def checker() -> FormatChecker:
    """A checker of these formats alone."""
    made = FormatChecker(formats=())
    for name, test in _TESTS.items():
        made.checks(name, raises=(ValueError, re.error))(_on_strings(test))
    return made


def _on_strings(test: Callable[[str], object]) -> Callable[[object], bool]:
    """Formats say nothing of values that are no strings; a test answers false or raises when one is violated."""
    return lambda value: not isinstance(value, str) or bool(test(value))


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))


def _is_time(text: str) -> bool:
    return _RFC3339_TIME.fullmatch(text) is not None and time.fromisoformat(text.upper()) is not None


def _is_date_time(text: str) -> bool:
    return _RFC3339.fullmatch(text) is not None and bool(datetime.fromisoformat(text.upper()))


def _is_host_name(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    return len(text) <= _LONGEST_HOST_NAME and all(_LABEL.fullmatch(label) for label in labels)


def _is_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None and bool(urlsplit(text).scheme)


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None and bool(uuid.UUID(text))


_TESTS: dict[str, Callable[[str], object]] = {
    "date": _is_date,
    "date-time": _is_date_time,
    "email": _EMAIL.fullmatch,
    "hostname": _is_host_name,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": lambda text: "%" not in text and ipaddress.IPv6Address(text),
    "regex": re.compile,
    "time": _is_time,
    "uri": _is_uri,
    "uuid": _is_uuid,
}
