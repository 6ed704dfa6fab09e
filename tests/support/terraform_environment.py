"""A processor environment without the rest of the system, and activities to give to a processor."""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from runner.activity import ActivityContext, ActivityDetails, ProcessorEnvironment, Stopping
from runner.errors import Refused, UnknownThing


class FolderModules:
    """Modules in a folder, by name; the digest names the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, files: Mapping[str, str]) -> str:
        """Write a module; its digest."""
        digest = "sha256:" + hashlib.sha256(repr((name, sorted(files.items()))).encode()).hexdigest()
        folder = self.root / digest.replace(":", "-")
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        return digest

    async def folder(self, digest: str) -> Path:
        found = self.root / digest.replace(":", "-")
        if not found.is_dir():
            raise UnknownThing(f"reading module {digest}: it is not stored")
        return found


class FernetCipher:
    """Real encryption under a key in memory."""

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key or Fernet.generate_key()
        self._fernet = Fernet(self.key)

    def encrypt(self, data: bytes) -> bytes:
        return self._fernet.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        try:
            return self._fernet.decrypt(data)
        except Exception as error:
            raise Refused("opening kept bytes: the key is another one, or they were altered") from error


class KnownMasker:
    """Masks the string leaves of what was registered."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def register(self, value: Any) -> None:
        if isinstance(value, Mapping):
            for item in value.values():
                self.register(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.register(item)
        elif isinstance(value, str) and value:
            self.known.add(value)

    def mask(self, text: str) -> str:
        for secret in sorted(self.known, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


class Bench:
    """A processor environment below a folder, and what its activities said.

    Args:
        root: An empty folder.
        settings: The processor's options.
    """

    def __init__(self, root: Path, **settings: Any) -> None:
        self.modules = FolderModules(root / "modules")
        self.data = root / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.cipher = FernetCipher()
        self.masker = KnownMasker()
        self.settings = {"short_wait_seconds": 30.0, "warm_workers": 0, **settings}
        self.digests: dict[str, str] = {}
        self.lines: list[str] = []
        self.changed = asyncio.Event()

    def environment(self, *, agent: str = "agent-1", single_host: bool = True, **settings: Any) -> ProcessorEnvironment:
        """For ``create``."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return ProcessorEnvironment(
            data_dir=self.data,
            modules=self.modules,
            cipher=self.cipher,
            masker=self.masker,
            agent=agent,
            single_host=single_host,
            settings={"inherited_environment": inherited, **self.settings, **settings},
        )

    def module(self, name: str, files: Mapping[str, str] | str) -> None:
        """Add a project module: its files, or its ``main.tf``."""
        self.digests[name] = self.modules.add(name, {"main.tf": files} if isinstance(files, str) else files)

    def activity(
        self,
        module: str = "demo",
        *,
        inputs: Mapping[str, Any] | None = None,
        secrets: tuple[str, ...] = (),
        discriminator: str = "deploy",
        oid: str = "run-1",
        activity_id: str = "web",
        correlation_id: str = "",
        attempt: int = 1,
        polls: int = 0,
        deadline: datetime | None = None,
        stopping: Stopping | None = None,
        **config: Any,
    ) -> ActivityContext:
        """One delivery."""
        details = ActivityDetails(
            oid=oid,
            id=activity_id,
            type="demo.example.com",
            discriminator=discriminator,
            correlation_id=correlation_id,
            provider="terraform",
            config={"module": module, **config},
            modules=dict(self.digests),
            attempt=attempt,
            polls=polls,
            deadline=deadline,
        )
        return ActivityContext(
            details,
            inputs=inputs,
            secret_inputs=frozenset(secrets),
            stopping=stopping,
            on_progress=self._told,
        )

    async def until_told(self, text: str, *, seconds: float = 20.0) -> None:
        """Wait until a line of progress holds ``text``."""
        async with asyncio.timeout(seconds):
            while not any(text in line for line in self.lines):
                self.changed.clear()
                await self.changed.wait()

    def workspace(self, key: str = "run-1-web") -> Path:
        """The folder of a plainly named workspace."""
        return self.data / "workspaces" / key

    def _told(self, line: str) -> None:
        self.lines.append(line)
        self.changed.set()
