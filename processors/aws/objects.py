"""An object in a bucket.

The object carries the SHA-256 of its content in its metadata, so that deploying it again writes no second version of
the same. Disposing looks first, so that a bucket with versions does not gather delete markers.
"""

import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.activity import ActivityContext
from runner.errors import Fatal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_Read = TypeVar("_Read", bound=BaseModel)

_DIGEST: Final = "sha256"


class _Place(BaseModel):
    model_config = ConfigDict(frozen=True)

    bucket: str = Field(min_length=1)
    key: str = Field(min_length=1, max_length=1024)


class _Object(_Place):
    content: Any = Field()
    contentType: str | None = None  # noqa: N815 - the input's name


def put_object(client: "S3Client", context: ActivityContext) -> None:
    """Make the object what the inputs ``bucket``, ``key``, ``content`` and ``contentType`` say.

    ``content`` is a text, written as it is, or any other JSON value. Sets the outputs ``bucket``, ``key``, ``uri``,
    ``etag``, ``sha256``, ``size``, and ``versionId`` where the bucket has versions.
    """
    wanted = _read(_Object, context)
    body = wanted.content.encode() if isinstance(wanted.content, str) else _json(wanted.content)
    kind = wanted.contentType or (
        "text/plain; charset=utf-8" if isinstance(wanted.content, str) else "application/json"
    )
    digest = hashlib.sha256(body).hexdigest()
    there = _head(client, wanted)
    if not isinstance(there, int) and (there["Metadata"].get(_DIGEST), there["ContentType"]) == (digest, kind):
        context.progress(f"s3://{wanted.bucket}/{wanted.key} is as it should be")
        etag, version = there["ETag"], there.get("VersionId")
    else:
        done = client.put_object(
            Bucket=wanted.bucket, Key=wanted.key, Body=body, ContentType=kind, Metadata={_DIGEST: digest}
        )
        context.progress(f"put s3://{wanted.bucket}/{wanted.key} ({len(body)} bytes)")
        etag, version = done["ETag"], done.get("VersionId")
    _set_outputs(context, wanted, etag=etag.strip('"'), sha256=digest, size=len(body))
    if version and version != "null":
        context.set_output_value("versionId", version)


def delete_object(client: "S3Client", context: ActivityContext) -> None:
    """Delete the object of the inputs ``bucket`` and ``key``; none is no error. Earlier versions stay.

    Sets the outputs ``bucket``, ``key`` and ``uri``.
    """
    place = _read(_Place, context)
    if _head(client, place) == HTTPStatus.NOT_FOUND:
        context.progress(f"s3://{place.bucket}/{place.key} is gone already")
    else:
        client.delete_object(Bucket=place.bucket, Key=place.key)
        context.progress(f"deleted s3://{place.bucket}/{place.key}")
    _set_outputs(context, place)


def _head(client: "S3Client", place: _Place) -> "HeadObjectOutputTypeDef | int":
    """What is known of the object, or the HTTP status that says why nothing is.

    Without the right to list the bucket, looking at a missing object is forbidden (403): only doing then tells.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loaded with boto3 by now

    try:
        return client.head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            return status
        raise


def _set_outputs(context: ActivityContext, place: _Place, **more: Any) -> None:
    outputs = {"bucket": place.bucket, "key": place.key, "uri": f"s3://{place.bucket}/{place.key}", **more}
    for name, value in outputs.items():
        context.set_output_value(name, value)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _read(model: type[_Read], context: ActivityContext) -> _Read:
    try:
        return model.model_validate(dict(context.inputs))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors())
        raise Fatal(
            f"the inputs of activity {context.id!r} of orchestration {context.oid!r} do not fit: {problems}"
        ) from None
