"""The activity processor: reads the definition's ``config``, calls the action, says how it went."""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from processors.aws.failures import translated
from processors.aws.objects import delete_object, put_object
from runner.activity import ActivityContext, ActivityResult, ProcessorEnvironment
from runner.errors import Fatal, Retry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60


class Way(StrEnum):
    """What to do with the resource."""

    DEPLOY = "deploy"
    DISPOSE = "dispose"


_WAYS: Final = {
    "": Way.DEPLOY,
    "deploy": Way.DEPLOY,
    "apply": Way.DEPLOY,
    "cfm.orchestration.vpa.deploy": Way.DEPLOY,
    "dispose": Way.DISPOSE,
    "destroy": Way.DISPOSE,
    "cfm.orchestration.vpa.dispose": Way.DISPOSE,
}


class Config(BaseModel):
    """An activity definition's ``config``; what it leaves out comes from the agent's environment, as boto3 reads it.

    Attributes:
        action: What is kept; ``object``: an object in a bucket.
        endpoint_url: Another address than Amazon's.
        region: Such as ``eu-central-1``.
        addressing_style: ``path`` for stores that know no bucket in the host name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    action: Literal["object"]
    # No user and password in it: they would stand in error texts and in the definition.
    endpoint_url: str | None = Field(default=None, pattern=r"^https?://[^@/\s]+(/\S*)?$")
    region: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"


class Clients(Protocol):
    """Makes a client for a definition's options."""

    def __call__(self, config: Config) -> "S3Client":
        """A client that is safe to use from any thread."""
        ...


class AwsProcessor:
    """Runs ``config.action`` for the discriminators deploy and dispose.

    Deploying what is deployed and disposing of what is gone change nothing. Throttling, server errors and lost
    connections are retry errors, and boto3's own retries are off: one layer retries. The rest is fatal.

    Args:
        clients: Makes clients; called in threads.
        mask: Hides secrets in texts.
    """

    def __init__(self, clients: Clients, mask: Callable[[str], str]) -> None:
        self._clients = clients
        self._mask = mask

    def process(self, context: ActivityContext) -> ActivityResult:
        """Do the whole activity; blocks for as long as the service takes."""
        try:
            way, config = _way(context), _config(context)
            with translated(f"{way} of activity {context.id!r} of orchestration {context.oid!r}"):
                _ACTIONS[config.action, way](self._clients(config), context)
        except Retry as error:
            return ActivityResult.retry(self._mask(str(error)))
        except Fatal as error:
            return ActivityResult.fatal(self._mask(str(error)))
        return ActivityResult.complete()


_ACTIONS: Final[dict[tuple[str, Way], Callable[["S3Client", ActivityContext], None]]] = {
    ("object", Way.DEPLOY): put_object,
    ("object", Way.DISPOSE): delete_object,
}


def create(environment: ProcessorEnvironment) -> AwsProcessor:
    """The entry point of the provider ``aws``."""
    return AwsProcessor(_Cache(), environment.masker.mask)


def _way(context: ActivityContext) -> Way:
    way = _WAYS.get(context.discriminator)
    if way is None:
        detail = (
            f"activity {context.id!r} has the discriminator {context.discriminator!r}, which the aws processor lacks"
        )
        raise Fatal(detail, remedy="use deploy or dispose")
    return way


def _config(context: ActivityContext) -> Config:
    try:
        return Config.model_validate(dict(context.details.config))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors())
        detail = f"the config of activity type {context.details.type!r} does not fit the aws processor: {problems}"
        raise Fatal(detail, remedy="correct the activity definition") from error


class _Cache:
    """One client per options: a client is safe to share between threads and dear to make, its session is neither."""

    def __init__(self) -> None:
        self._clients: dict[Config, S3Client] = {}
        self._lock = threading.Lock()

    def __call__(self, config: Config) -> "S3Client":
        with self._lock:
            if config not in self._clients:
                self._clients[config] = _client(config)
            return self._clients[config]


def _client(config: Config) -> "S3Client":
    import boto3  # noqa: PLC0415 - takes a quarter of a second; an agent without such an activity never pays it.
    from botocore.config import Config as Options  # noqa: PLC0415

    s3: Any = {"addressing_style": config.addressing_style}
    return boto3.session.Session().client(
        "s3",
        region_name=config.region,
        endpoint_url=config.endpoint_url,
        config=Options(
            connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries={"total_max_attempts": 1}, s3=s3
        ),
    )
