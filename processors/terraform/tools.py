"""What all runs of one processor share."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.terraform import environment as environments
from processors.terraform.binary import BinaryDriver
from processors.terraform.binary.driver import find_executable
from processors.terraform.configuration import Settings
from processors.terraform.driver import DEFAULT_GRACE_SECONDS, Driver
from processors.terraform.embedded import EmbeddedDriver
from processors.terraform.inspection import Declared
from processors.terraform.versions import satisfies
from runner.activity import ProcessorEnvironment
from runner.errors import Fatal

_REMEMBERED_INSPECTIONS = 512


@dataclass(frozen=True, slots=True)
class Options:
    """The agent's settings for this processor.

    Attributes:
        short_wait_seconds: How long a delivery waits for its run before it answers Schedule.
        grace_seconds: How long an interrupted Terraform may take before it is killed.
        usual_workers: Worker processes started without hesitation; 0 is one per core.
        most_workers: Worker processes at the most; 0 is four per core.
        warm_workers: Worker processes started beforehand.
        transient_errors: More patterns of errors that are passing.
    """

    short_wait_seconds: float = 10.0
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    usual_workers: int = 0
    most_workers: int = 0
    warm_workers: int = 1
    transient_errors: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Options":
        """From ``ProcessorEnvironment.settings``; what is not known here is somebody else's."""
        known = {name: settings[name] for name in cls.__slots__ if name in settings}
        if "transient_errors" in known:
            known["transient_errors"] = tuple(known["transient_errors"])
        return cls(**known)


@dataclass(slots=True)
class Tools:
    """Drivers, options and what was learnt about modules."""

    environment: ProcessorEnvironment
    options: Options
    inherited: Mapping[str, str]
    embedded: EmbeddedDriver
    inspections: dict[str, Declared] = field(default_factory=dict)
    _binaries: dict[str, BinaryDriver] = field(default_factory=dict)

    @classmethod
    def of(cls, environment: ProcessorEnvironment) -> "Tools":
        """Made, nothing started."""
        options = Options.of(environment.settings)
        # This process's environment is the agent's configuration: the one place of this package that reads it.
        inherited = environment.settings.get("inherited_environment", os.environ)
        embedded = EmbeddedDriver(usual=options.usual_workers, most=options.most_workers)
        return cls(environment, options, dict(inherited), embedded)

    @property
    def workspaces(self) -> Path:
        """The folder of all workspaces."""
        return self.environment.data_dir / "workspaces"

    def terraform_environment(self, settings: Settings) -> dict[str, str]:
        """All of Terraform's environment for these settings."""
        return environments.build(self.inherited, settings.environment)

    async def driver(self, settings: Settings, environment: Mapping[str, str]) -> Driver:
        """The embedded one, unless ``config.binary`` or ``config.version`` asks otherwise.

        Raises:
            Fatal: There is no Terraform as asked for.
        """
        if not settings.binary:
            offered = await self.embedded.versions(environment) if settings.version else None
            if offered is None or satisfies(offered.version, settings.version):
                return self.embedded
        driver = self._binary(settings)
        if settings.version:
            found = await driver.versions(environment)
            if not satisfies(found.version, settings.version):
                raise Fatal(
                    f"choosing Terraform: config.version asks for {settings.version!r}, "
                    f"{found.origin!r} is {found.product} {found.version}",
                    remedy="install a version that fits and name it in config.binary, or change config.version",
                )
        return driver

    def remember(self, digest: str, declared: Declared) -> None:
        """Keep what a module declares; the oldest is forgotten first."""
        self.inspections[digest] = declared
        while len(self.inspections) > _REMEMBERED_INSPECTIONS:
            del self.inspections[next(iter(self.inspections))]

    def sweep(self) -> None:
        """Remove what a killed agent had begun to remove."""
        for grave in self.workspaces.glob(".removed-*"):
            shutil.rmtree(grave, ignore_errors=True)

    async def close(self) -> None:
        """End all worker processes."""
        for driver in self._binaries.values():
            await driver.close()
        await self.embedded.close()

    def _binary(self, settings: Settings) -> BinaryDriver:
        search_path = settings.environment.get("PATH", self.inherited.get("PATH", os.defpath))
        if settings.binary:
            executable = find_executable(settings.binary, search_path)
        else:
            executable = self._fallback(settings, search_path)
        return self._binaries.setdefault(str(executable), BinaryDriver(executable, most=self.options.most_workers))

    def _fallback(self, settings: Settings, search_path: str) -> Path:
        found = shutil.which("terraform", path=search_path)
        if found is None:
            raise Fatal(
                f"choosing Terraform: config.version asks for {settings.version!r}, the embedded one is another "
                "and there is no 'terraform' on the agent's PATH",
                remedy="install a version that fits and name it in config.binary, or change config.version",
            )
        return Path(found).absolute()
