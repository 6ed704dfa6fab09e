"""Foreign errors into our own: one table for nats-py's exceptions, one for the JetStream API's error codes.

`translate` looks an exception up by its most specific listed class. Every class of ``nats.errors`` is listed by itself,
which a test checks, so that a new one of a new nats-py is thought about. ``nats.js.errors`` never arise: this adapter
speaks the JetStream API itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import nats.errors

from runner.errors import InvalidUsage, NeverRetry, Refused, TierformError, Unreachable
from runner.messaging.ports import SequenceConflict

DISK = "free or add disk space for the NATS server's store, or raise its JetStream limits"
PERMISSIONS = "give this user the permissions listed in docs/protocol.md"
LOGIN = "check the token, user, credentials or nkey given for the NATS server"
REACH = "check that the NATS server runs and is reachable"

NO_MESSAGE = 10037
NO_STREAM = 10059
NO_CONSUMER = 10014
STREAM_DIFFERS = 10058
WRONG_LAST_SEQUENCE = 10071


class Meaning(NamedTuple):
    """What a foreign error is called here, and what to do about it."""

    error: Callable[..., TierformError]
    remedy: str = ""


CODES: Mapping[int, Meaning] = {
    WRONG_LAST_SEQUENCE: Meaning(SequenceConflict),
    10164: Meaning(SequenceConflict),  # Clustered: another write of the same subject is under way.
    10002: Meaning(Unreachable, DISK),
    10023: Meaning(Unreachable, DISK),
    10028: Meaning(Unreachable, DISK),
    10047: Meaning(Unreachable, DISK),
    10077: Meaning(Unreachable, DISK),
    10122: Meaning(Unreachable, DISK),
    NO_STREAM: Meaning(Unreachable, "let the engine create its streams, or check the subject prefix"),
    NO_CONSUMER: Meaning(Unreachable, "let the engine create its consumers, or check the subject prefix"),
    10039: Meaning(Refused, "enable JetStream for this account"),
    10076: Meaning(Refused, "enable JetStream on the server"),
    10054: Meaning(NeverRetry, "raise the stream's max_msg_size"),
    STREAM_DIFFERS: Meaning(Refused, "give this installation a subject prefix of its own"),
    10065: Meaning(Refused, "give this installation a subject prefix of its own"),
    10074: Meaning(Refused, "ask for one replica, or run a NATS cluster"),
    10099: Meaning(Refused, "delete the other consumer of these subjects"),
    10100: Meaning(Refused, "delete the other consumer of these subjects"),
}

_NO_CONNECTION = Meaning(Unreachable, REACH)
_DEFECT = Meaning(InvalidUsage)

EXCEPTIONS: Mapping[type[BaseException], Meaning] = {
    OSError: _NO_CONNECTION,
    TimeoutError: _NO_CONNECTION,
    nats.errors.Error: _NO_CONNECTION,  # What nats-py raises for the server's own words.
    nats.errors.TimeoutError: _NO_CONNECTION,
    nats.errors.FlushTimeoutError: _NO_CONNECTION,
    nats.errors.DrainTimeoutError: _NO_CONNECTION,
    nats.errors.StaleConnectionError: _NO_CONNECTION,
    nats.errors.UnexpectedEOF: _NO_CONNECTION,
    nats.errors.OutboundBufferLimitError: _NO_CONNECTION,
    nats.errors.ConnectionClosedError: _NO_CONNECTION,
    nats.errors.ConnectionDrainingError: _NO_CONNECTION,
    nats.errors.ConnectionReconnectingError: _NO_CONNECTION,
    nats.errors.NoServersError: _NO_CONNECTION,
    nats.errors.ServerNotInPoolError: _NO_CONNECTION,
    nats.errors.JsonParseError: _NO_CONNECTION,
    nats.errors.ProtocolError: _NO_CONNECTION,
    nats.errors.SlowConsumerError: _NO_CONNECTION,
    nats.errors.NoRespondersError: Meaning(Unreachable, "check that JetStream is enabled and its streams exist"),
    nats.errors.MaxPayloadError: Meaning(NeverRetry, "raise the server's max_payload, or send less"),
    nats.errors.AuthorizationError: Meaning(Refused, LOGIN),
    nats.errors.InvalidUserCredentialsError: Meaning(InvalidUsage, LOGIN),
    nats.errors.SecureConnRequiredError: Meaning(Refused, "use a tls:// URL"),
    nats.errors.SecureConnWantedError: Meaning(Refused, "use a nats:// URL, or enable TLS on the server"),
    nats.errors.SecureConnFailedError: Meaning(Refused, "check the TLS options and certificates"),
    nats.errors.BadSubjectError: _DEFECT,
    nats.errors.BadHeaderError: _DEFECT,
    nats.errors.BadTimeoutError: _DEFECT,
    nats.errors.BadSubscriptionError: _DEFECT,
    nats.errors.InvalidCallbackTypeError: _DEFECT,
    nats.errors.NotJSMessageError: _DEFECT,
    nats.errors.MsgAlreadyAckdError: _DEFECT,
}


def translate(error: BaseException, doing: str) -> TierformError:
    """Our error for a foreign one; ``doing`` says what was being done to what. Our own errors pass unchanged."""
    if isinstance(error, TierformError):
        return error
    meaning = next((EXCEPTIONS[kind] for kind in type(error).__mro__ if kind in EXCEPTIONS), None)
    if meaning is None:
        message = f"no translation for {type(error).__name__}"
        raise AssertionError(message) from error
    text = str(error).removeprefix("nats: ").strip() or type(error).__name__
    return meaning.error(f"{doing}: {text}", remedy=meaning.remedy)


def translate_api(error: Mapping[str, Any], doing: str) -> TierformError:
    """Our error for the ``error`` object of a JetStream answer: ``{"code": 400, "err_code": 10071, …}``."""
    number = int(error.get("err_code", 0))
    passing = int(error.get("code", 0)) >= 500  # noqa: PLR2004 - the server's class of passing errors
    meaning = CODES.get(number, Meaning(Unreachable if passing else NeverRetry))
    return meaning.error(f"{doing}: {error.get('description', 'unknown error')} ({number})", remedy=meaning.remedy)
