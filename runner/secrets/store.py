"""Secret values at rest: encrypted, by reference, over any document store.

Keys of the bucket
------------------
=====================================  ==================================================================
``value/<reference>``                  the envelope of ``{"owner": …, "value": …}``, bound to the reference
``owner/<owner>/<fingerprint>``        the reference: finds what one owner has, and finds a value again
=====================================  ==================================================================

The fingerprint is keyed and covers the owner, the place and the value: equal secrets of two owners, or in two places,
don't look equal, and nobody without the key can guess a value and check. The index entry is written first, so that
whatever a crash leaves behind is found by `delete_owner`; the value is written by whoever finds it missing.
"""

import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from runner.errors import InvalidInput, Refused, UnknownThing
from runner.graph.references import ABSENT, is_secret_reference, parse_secret_reference, secret_reference, walk
from runner.messaging.ports import Documents, SequenceConflict
from runner.protocol.subjects import token
from runner.secrets.envelope import Envelope
from runner.secrets.keys import Keyring
from runner.secrets.references import (
    REFERENCE_BYTES,
    Path,
    find_references,
    is_well_formed,
    outermost,
    part_at,
    reference_from,
    replace,
    substitute,
)

BUCKET = "secrets"
_DEEPEST = 8
_LONGEST_SEGMENT = 120
_CACHED_VALUES = 1024
_LARGEST_CACHED_BYTES = 64 * 1024


class Revealed(NamedTuple):
    """A value in the clear, and the secrets that are in it: register each with the masker before anything else."""

    value: Any
    secrets: list[Any]


class SecretStore:
    """Keeps secret JSON values; safe for many processes on one bucket, and for one event loop each.

    A value never changes under its reference.

    Args:
        documents: The bucket `BUCKET`.
        keyring: The keys of the key file.
    """

    def __init__(self, documents: Documents, keyring: Keyring) -> None:
        self._documents = documents
        self._keyring = keyring
        self._cache: OrderedDict[str, bytes] = OrderedDict()

    async def put(self, value: Any, *, owner: str, place: str = "") -> str:
        """Store a JSON value and return its reference.

        The same value of the same owner at the same place gets the same reference again (until the key is rotated), so
        that a repeated run compares equal. After a crash the call is safe to repeat.

        Args:
            value: Any JSON value.
            owner: Whose it is, such as an orchestration's id; any text.
            place: Where it stands with its owner, such as ``inputs``; any text.

        Raises:
            runner.errors.Unreachable: The store did not answer.
            runner.errors.NeverRetry: The value is larger than the store takes.
        """
        index = _owner_prefix(owner) + self._keyring.fingerprint(canonical([owner, place, value]))
        reference = await self._claim(index)
        key = _value_key(reference)
        if await self._documents.get(key) is None:
            payload = canonical({"owner": owner, "value": value})
            with suppress(SequenceConflict):  # Somebody wrote the same value under the same reference just now.
                await self._documents.put(key, self._envelope(reference).encrypt(payload), expected=0)
            self._remember(reference, payload)
        return reference

    async def get(self, reference: str, *, owner: str | None = None) -> Any:
        """The value in the clear; a fresh copy each time.

        Args:
            reference: What `put` returned, or such a one with the way to a part of it (``sec_…#/name``).
            owner: When given, only this owner's secrets are there; for references that somebody else may have written.

        Raises:
            runner.errors.UnknownThing: None of that reference (or none of that owner) is stored, or it has no such part.
            runner.errors.Refused: The key file lacks the key, or the stored bytes were altered.
        """
        _, part = await self._open(reference, owner)
        if part is ABSENT:
            raise _no_part(reference)
        return part

    async def same(self, reference: str, value: Any) -> bool:
        """Whether the stored secret equals a value in the clear.

        Raises:
            runner.errors.UnknownThing: None of that reference is stored.
        """
        return await self.matches(await self.get(reference), value)

    async def matches(self, concealed: Any, plain: Any) -> bool:
        """Whether a JSON value with references in it equals another that has the secrets in the clear, or references.

        Nothing is stored; works across key rotations. This is how the same id with another input is recognised.
        """
        references = find_references(concealed)
        for path, reference in references.items():
            try:
                part = part_at(plain, path)
            except KeyError:
                return False
            if part != secret_reference(reference) and not await self.same(reference, part):
                return False
        plain_with_references = replace(
            plain, {path: secret_reference(reference) for path, reference in references.items()}
        )
        return hmac.compare_digest(canonical(concealed), canonical(plain_with_references))

    async def conceal(self, value: Any, paths: Iterable[Path], *, owner: str, place: str = "") -> Any:
        """A copy of a JSON value with its parts at the given places stored and replaced by references.

        Parts that are references already stay as they are. Of two places one in the other, the outer one is stored.

        Args:
            value: A JSON value in the clear.
            paths: The places of secrets in it; those that do not exist are left out.
            owner: As for `put`.
            place: Where the whole value stands with its owner.
        """
        parts: dict[Path, Any] = {}
        for path in outermost(paths):
            try:
                part = part_at(value, path)
            except KeyError:
                continue
            if not is_secret_reference(part):
                reference = await self.put(part, owner=owner, place=json.dumps([place, *path]))
                parts[path] = secret_reference(reference)
        return replace(value, parts)

    async def reveal(self, value: Any, *, owner: str | None = None) -> Revealed:
        """A copy of a JSON value with every reference replaced by its secret, those inside of secrets as well.

        A reference to a part that the secret doesn't have takes its name out of the object it stands in, as a source of
        an input does that leads nowhere.

        Args:
            value: A JSON value with references in it.
            owner: As for `get`.

        Raises:
            runner.errors.UnknownThing: As for `get`; a value of the reserved form that names no secret is one of these.
            runner.errors.Refused: As for `get`, or secrets refer to one another more than eight levels deep.
        """
        found: list[Any] = []
        for _ in range(_DEEPEST):
            references = sorted(set(find_references(value).values()))
            if not references:
                return Revealed(value, found)
            opened = {reference: await self._open(reference, owner) for reference in references}
            found += [whole for whole, _ in opened.values()]
            value = substitute(value, {reference: part for reference, (_, part) in opened.items()})
            if value is ABSENT:
                raise _no_part(references[0])
        raise Refused(
            f"revealing secrets: they refer to one another more than {_DEEPEST} levels deep",
            remedy="don't put references into secret values",
        )

    async def references(self, owner: str) -> list[str]:
        """The references of everything one owner has stored, sorted."""
        return sorted({reference for reference in (await self._index(owner)).values() if reference})

    async def delete_owner(self, owner: str) -> int:
        """Delete every secret of an owner and return how many; safe to repeat after a crash.

        Call it when the owner stores nothing any more: a `put` at the same time may survive.
        """
        index = await self._index(owner)
        for key, reference in index.items():
            await self._documents.delete(_value_key(reference))
            self._cache.pop(reference, None)
            await self._documents.delete(key)
        return len(index)

    async def rewrap(self) -> int:
        """Wrap every data key by the primary key and return how many were not; safe beside any other call.

        After it returned in a process that opened the key file after the rotation, the older keys open nothing of this
        bucket that the primary one doesn't, unless a process that still has the old key file's keys wrote meanwhile.
        """
        keys = await self._documents.keys("value/")
        return sum([await self._rewrap(key) for key in keys])

    async def _rewrap(self, key: str) -> bool:
        while (document := await self._documents.get(key)) is not None:
            renewed = self._envelope(key.removeprefix("value/")).rewrap(document.data)
            if renewed == document.data:
                return False
            try:
                await self._documents.put(key, renewed, expected=document.revision)
            except SequenceConflict:
                continue  # Re-wrapped or deleted by somebody else: look again.
            return True
        return False

    async def _claim(self, index: str) -> str:
        while True:
            document = await self._documents.get(index)
            if document is not None:
                return document.data.decode()
            reference = reference_from(secrets.token_bytes(REFERENCE_BYTES))
            try:
                await self._documents.put(index, reference.encode(), expected=0)
            except SequenceConflict:
                continue  # Somebody stores the same value now: theirs is read next.
            return reference

    async def _index(self, owner: str) -> Mapping[str, str]:
        documents = [await self._documents.get(key) for key in await self._documents.keys(_owner_prefix(owner))]
        return {document.key: document.data.decode() for document in documents if document is not None}

    async def _open(self, reference: str, owner: str | None) -> tuple[Any, Any]:
        """The whole secret and the part that the reference is about, perhaps `ABSENT`."""
        stem, way = parse_secret_reference(secret_reference(reference))
        payload = json.loads(self._cached(stem) or await self._load(stem))
        if owner is not None and payload["owner"] != owner:
            raise _unknown(stem)
        return payload["value"], walk(payload["value"], way)

    async def _load(self, reference: str) -> bytes:
        document = await self._documents.get(_value_key(reference)) if is_well_formed(reference) else None
        if document is None:
            raise _unknown(reference)
        payload = self._envelope(reference).decrypt(document.data)
        self._remember(reference, payload)
        return payload

    def _envelope(self, reference: str) -> Envelope:
        return Envelope(self._keyring, f"secret/{reference}")

    def _cached(self, reference: str) -> bytes | None:
        if reference in self._cache:
            self._cache.move_to_end(reference)
        return self._cache.get(reference)

    def _remember(self, reference: str, payload: bytes) -> None:
        if len(payload) <= _LARGEST_CACHED_BYTES:
            self._cache[reference] = payload
            if len(self._cache) > _CACHED_VALUES:
                self._cache.popitem(last=False)


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: keys sorted, no spaces, ASCII only.

    Raises:
        runner.errors.InvalidInput: It holds NaN or an infinity, or is no JSON value.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            "storing a secret: it is not a JSON value",
            remedy="use objects, arrays, texts, finite numbers, booleans and null",
        ) from error
    return text.encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _value_key(reference: str) -> str:
    return f"value/{reference}"


def _owner_prefix(owner: str) -> str:
    segment = token(owner)
    if len(segment) > _LONGEST_SEGMENT:
        # A lower-case letter after "=" is what no token has, so a short owner can't be spelled like a long one.
        segment = "=h" + hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()
    return f"owner/{segment}/"


def _unknown(reference: str) -> UnknownThing:
    # What is not of our form is never shown: it may be the secret itself, put in the wrong place.
    shown = f"'{reference}'" if is_well_formed(reference) else "of a form that Tierform never makes"
    return UnknownThing(
        f"revealing a secret: there is none with the reference {shown}",
        remedy=f"it was deleted with its owner, or the input has an object of the reserved form {secret_reference('…')}",
    )


def _no_part(reference: str) -> UnknownThing:
    return UnknownThing(
        f"revealing a part of the secret '{reference.partition('#')[0]}': it has no such part",
        remedy="check the source of the input that goes into the secret",
    )
