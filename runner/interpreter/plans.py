"""Compiled definitions, by digest: what running orchestrations keep, whatever is registered meanwhile."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import orjson

from runner.engine.plan import Plan
from runner.engine.state import Orchestration
from runner.errors import UnknownThing
from runner.messaging.ports import Blobs, Documents
from runner.protocol.messages import ManifestEvent

BUCKET = "definitions"
_CACHED = 512


class PlanSource(Protocol):
    """Where the engine gets plans from."""

    async def of(self, orchestration: Orchestration | None, manifest: ManifestEvent | None) -> Plan:
        """The plan of a running orchestration, else the one its manifest asks for; UnknownThing without either."""
        ...


class Plans:
    """Finds the plan an orchestration runs, or a manifest asks for.

    Args:
        blobs: Where bundles are.
        documents: Bucket `BUCKET`: which bundle is registered for a type, ``orchestration/<type>`` → ``{"digest": …}``.
        compile_bundle: Makes a plan from a bundle's digest and bytes.
    """

    def __init__(self, blobs: Blobs, documents: Documents, compile_bundle: Callable[[str, bytes], Plan]) -> None:
        self._blobs = blobs
        self._documents = documents
        self._compile = compile_bundle
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    async def of(self, orchestration: Orchestration | None, manifest: ManifestEvent | None) -> Plan:
        """The plan of a running orchestration, else the one its manifest asks for.

        Raises:
            UnknownThing: There is neither, or no such definition.
        """
        if orchestration is not None:
            return await self.plan(orchestration.bundle)
        if manifest is None:
            raise UnknownThing("taking an event of an orchestration that was never started")
        return await self.plan(manifest.bundle or await self.registered(manifest.orchestration_type))

    async def plan(self, digest: str) -> Plan:
        """The plan of a bundle."""
        known = self._plans.get(digest)
        if known is None:
            known = self._compile(digest, await self._blobs.get(digest))
            self._plans[digest] = known
            if len(self._plans) > _CACHED:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(digest)
        return known

    async def registered(self, orchestration_type: str) -> str:
        """Digest of the bundle registered for a type.

        Raises:
            UnknownThing: None is.
        """
        document = await self._documents.get(f"orchestration/{orchestration_type}")
        if document is None:
            raise UnknownThing(
                f"starting an orchestration of type '{orchestration_type}': no such definition is registered",
                remedy="register it first; `tierform validate` lists the types of a project",
            )
        digest: str = orjson.loads(document.data)["digest"]
        return digest

    async def all_registered(self) -> list[Plan]:
        """The plans of every registered definition."""
        keys = await self._documents.keys("orchestration/")
        return [await self.plan(await self.registered(key.removeprefix("orchestration/"))) for key in keys]

    async def publish(self, orchestration_type: str, bundle: bytes) -> str:
        """Store a bundle, register it for its type and return its digest; the same again changes nothing."""
        digest = await self._blobs.put(bundle)
        key = f"orchestration/{orchestration_type}"
        value = orjson.dumps({"digest": digest})
        document = await self._documents.get(key)
        if document is None or document.data != value:
            await self._documents.put(key, value)
        return digest
