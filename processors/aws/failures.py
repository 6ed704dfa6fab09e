"""What boto3 raises, as Tierform's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from runner.errors import Fatal, TierformError, Unreachable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Error codes that mean later, whatever HTTP status they come with."""

_REMEDIES: Final = {
    "AccessDenied": "give the agent's identity the rights to read, write and delete this object",
    "AuthorizationHeaderMalformed": "set config.region to the bucket's region",
    "ExpiredToken": "renew the agent's credentials",
    "InvalidAccessKeyId": "correct the agent's credentials (AWS_ACCESS_KEY_ID)",
    "NoSuchBucket": "make the bucket first, or correct its name",
    "PermanentRedirect": "set config.region to the bucket's region",
    "SignatureDoesNotMatch": "correct the agent's credentials (AWS_SECRET_ACCESS_KEY)",
}

_USER_INFO: Final = re.compile(r"//[^/@\s]*@")  # In an endpoint's URL.


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what boto3 raises inside as an error of ours; ``doing`` opens its text.

    Raises:
        Unreachable: Throttled, a server error, no connection, no answer in time.
        Fatal: Everything else of boto3's: refused, no credentials, an unknown bucket, parameters out of range.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see `processor._client`

    try:
        yield
    except ClientError as error:
        raise _refused(doing, error) from error
    except BotoCoreError as error:
        raise _failed(doing, error) from error


def _refused(doing: str, error: "ClientError") -> TierformError:
    """An answer of the service that is an error. Its message names resources and key ids, never a secret key."""
    answer, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, status = answer.get("Code", "unknown"), meta.get("HTTPStatusCode", 0)
    detail = f"{doing}: {error.operation_name} was answered {status} {code}: {answer.get('Message') or 'no message'}"
    if code in _THROTTLED or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(detail)
    return Fatal(detail, remedy=_REMEDIES.get(code, ""))


def _failed(doing: str, error: Exception) -> TierformError:
    """No answer at all, or none that makes sense."""
    from botocore import exceptions as boto  # noqa: PLC0415 - see `processor._client`

    text = _USER_INFO.sub("//", str(error))
    detail = f"{doing}: {type(error).__name__}: {text[:1].lower()}{text[1:]}"
    passing = (
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.IncompleteReadError,
        boto.ChecksumError,
        boto.FlexibleChecksumError,
        boto.CredentialRetrievalError,
    )
    if isinstance(error, passing):
        return Unreachable(detail)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return Fatal(
            detail, remedy="give the agent credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"
        )
    return Fatal(detail)
