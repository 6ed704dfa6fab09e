"""The Terraform processor: one delivery at a time turned into jobs, and jobs into results."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from processors.terraform import bundle as bundles
from processors.terraform import configuration, naming, templates
from processors.terraform.bundle import Bundle
from processors.terraform.configuration import Settings
from processors.terraform.driver import Driver
from processors.terraform.job import Job, as_error, fingerprint, job_key, kept_result
from processors.terraform.operations import Operation, operation_of
from processors.terraform.preparation import Preparation
from processors.terraform.run import Output, Run
from processors.terraform.secrecy import Secrets
from processors.terraform.sources import Source
from processors.terraform.terraform import Interrupted, Limits, Terraform
from processors.terraform.tools import Tools
from processors.terraform.workspace import Holder, Workspace, now
from runner.activity import ActivityContext, ActivityResult, ProcessorEnvironment, StopReason
from runner.errors import Busy, Fatal, NeverRetry, Retry

_FIRST_DELAY_SECONDS = 2.0
_LAST_DELAY_SECONDS = 15.0
_GROWTH = 1.5
_HEARTBEAT_SECONDS = 5.0
_FIRST_BUSY_SECONDS = 0.05
_LAST_BUSY_SECONDS = 1.0
_UNCOLLECTED_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class _Assignment:
    """A delivery, understood."""

    context: ActivityContext
    settings: Settings
    operation: Operation
    key: str
    secret_inputs: frozenset[str]
    environment: dict[str, str]
    driver: Driver


class TerraformProcessor:
    """Deploys, plans and disposes of workspaces.

    A delivery starts a run as a job in the background, or finds it, and waits for it briefly; when that is not enough it
    answers Schedule, and the next delivery goes on waiting. A run that nobody collects is kept, encrypted, in its
    workspace.

    Args:
        environment: See there; ``settings`` are those of ``tools.Options``.
    """

    def __init__(self, environment: ProcessorEnvironment) -> None:
        self._environment = environment
        self._tools = Tools.of(environment)
        self._jobs: dict[str, Job] = {}

    async def start(self) -> None:
        """Have warm workers, so that the first activity does not wait for one."""
        await asyncio.to_thread(self._tools.sweep)
        if self._tools.options.warm_workers > 0:
            environment = self._tools.terraform_environment(Settings(module=""))
            await self._tools.embedded.warm(environment, self._tools.options.warm_workers)
            await self._tools.embedded.versions(environment)

    async def close(self) -> None:
        """Stop what still runs, gracefully, and end all worker processes."""
        for job in self._jobs.values():
            job.stop.set()
        await asyncio.gather(*(job.task for job in self._jobs.values()), return_exceptions=True)
        await self._tools.close()

    async def last_inputs(self, context: ActivityContext) -> tuple[Mapping[str, Any], frozenset[str]] | None:
        """The inputs of the workspace's last apply, and which are secret, for a disposal; others have none of their own.

        None when there is nothing to dispose of: then no input is missing either.
        """
        settings = configuration.read(context.details.config)
        if operation_of(context.discriminator) is not Operation.DISPOSE:
            return {}, frozenset()
        key = _workspace_key(context, settings, context.secret_inputs & context.inputs.keys())
        workspace = Workspace(self._tools.workspaces, key, self._environment.cipher)
        if not workspace.exists():
            return None if settings.backend["type"] == "local" else ({}, frozenset())
        kept = await asyncio.to_thread(workspace.read_secret, bundles.NAME)
        if kept is None:
            return {}, frozenset()
        bundle = Bundle.from_json(kept)
        for name in bundle.given_secrets:
            self._environment.masker.register(bundle.given[name])
        return bundle.given, bundle.given_secrets

    async def process(self, context: ActivityContext) -> ActivityResult:
        """One delivery."""
        for name in context.secret_inputs & context.inputs.keys():
            self._environment.masker.register(context.inputs[name])
        try:
            return await self._process(context)
        except (Fatal, NeverRetry) as error:
            return ActivityResult.fatal(self._mask(str(error)))
        except Retry as error:
            return self._retry(context, error)
        except OSError as error:
            return self._retry_or_fatal(as_error(error, context.id))

    async def _process(self, context: ActivityContext) -> ActivityResult:
        key = job_key(context.details)
        job = self._jobs.get(key)
        if job is None:
            assignment = await self._understand(context)
            found = await self._begin(assignment, key)
            if isinstance(found, ActivityResult):
                return found
            job = found
        return await self._await(context, job)

    async def _understand(self, context: ActivityContext) -> _Assignment:
        settings = configuration.read(context.details.config)
        operation = operation_of(context.discriminator)
        secret_inputs = (context.secret_inputs | settings.sensitive) & context.inputs.keys()
        environment = self._tools.terraform_environment(settings)
        return _Assignment(
            context,
            settings,
            operation,
            _workspace_key(context, settings, secret_inputs),
            secret_inputs,
            environment,
            await self._tools.driver(settings, environment),
        )

    async def _begin(self, assignment: _Assignment, key: str) -> Job | ActivityResult:
        context = assignment.context
        workspace = Workspace(self._tools.workspaces, assignment.key, self._environment.cipher)
        if self._has_nothing_to_dispose(assignment, workspace):
            context.progress(self._mask(f"Nothing to dispose of: workspace {workspace.key!r} does not exist"))
            return ActivityResult.complete()
        holder = Holder(self._environment.agent, context.oid, context.id, now(), key)
        if not await self._acquire(context, workspace, holder):
            return ActivityResult.schedule(_delay(context.details.polls))
        if workspace.was_applied_by_another(context.oid):
            context.mark_existing()
        print_ = fingerprint(context.details, context.inputs)
        try:
            if (outputs := kept_result(workspace, key, print_)) is not None:
                workspace.release()
                return self._complete(context, outputs)
            job = Job(
                key, print_, workspace, lambda job: self._run(assignment, workspace, job).perform(assignment.operation)
            )
        except BaseException:
            workspace.release()
            raise
        self._jobs[key] = job
        job.task.add_done_callback(lambda _: self._forget_later(key, job))
        return job

    def _forget_later(self, key: str, job: Job) -> None:
        # Collected by another agent, or by none: the workspace keeps the result.
        def forget() -> None:
            if self._jobs.get(key) is job:
                del self._jobs[key]

        if not job.task.cancelled():
            job.task.exception()
        asyncio.get_running_loop().call_later(_UNCOLLECTED_SECONDS, forget)

    def _run(self, assignment: _Assignment, workspace: Workspace, job: Job) -> Run:
        settings, options = assignment.settings, self._tools.options
        limits = Limits(
            settings.targets,
            settings.parallelism,
            settings.lock_timeout,
            options.grace_seconds,
            options.transient_errors,
        )
        terraform = Terraform(assignment.driver, workspace, assignment.environment, limits, job.stop, job.tell)
        secrets = Secrets(self._environment.masker)
        for name in assignment.secret_inputs:
            secrets.add(assignment.context.inputs[name])

        async def parse(folder: Path) -> Mapping[str, Any]:
            return await self._tools.embedded.inspect(folder, assignment.environment)

        preparation = Preparation(
            tools=self._tools,
            settings=settings,
            details=assignment.context.details,
            inputs=assignment.context.inputs,
            secret_inputs=assignment.secret_inputs,
            workspace=workspace,
            parse=parse,
            source=Source(settings.module, terraform.get, parse),
        )
        return Run(preparation, terraform, secrets)

    async def _acquire(self, context: ActivityContext, workspace: Workspace, holder: Holder) -> bool:
        """Whether the workspace is ours; waits for it as long as a delivery may.

        Raises:
            Busy: The attempt's deadline has passed.
        """
        loop = asyncio.get_running_loop()
        until, pause, told = loop.time() + self._tools.options.short_wait_seconds, _FIRST_BUSY_SECONDS, False
        while True:
            try:
                workspace.acquire(holder)
            except Busy as busy:
                if context.deadline is not None and datetime.now(UTC) >= context.deadline:
                    raise
                if not told and context.details.polls == 0:
                    context.progress(self._mask(busy.detail))
                told = True
                if loop.time() + pause > until or context.stopping.is_requested():
                    return False
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_BUSY_SECONDS)
            else:
                return True

    async def _await(self, context: ActivityContext, job: Job) -> ActivityResult:
        job.listen(lambda line: self._progress(context, line))
        stopper = asyncio.ensure_future(context.stopping.wait())
        try:
            await self._wait(context, job, stopper)
        except asyncio.CancelledError:
            job.stop.set()
            raise
        finally:
            stopper.cancel()
            job.listen(None)
        if not job.task.done():
            return ActivityResult.schedule(_delay(context.details.polls))
        self._jobs.pop(job.key, None)
        return self._complete(context, job.task.result())

    async def _wait(self, context: ActivityContext, job: Job, stopper: "asyncio.Future[StopReason]") -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._tools.options.short_wait_seconds
        while not job.task.done() and not stopper.done() and (left := until - loop.time()) > 0:
            context.heartbeat()
            both: set[asyncio.Future[Any]] = {job.task, stopper}
            await asyncio.wait(both, timeout=min(left, _HEARTBEAT_SECONDS), return_when=asyncio.FIRST_COMPLETED)
        if stopper.done() and not job.task.done():
            self._progress(context, f"stopping terraform ({stopper.result()}): it finishes what is under way")
            job.stop.set()
            while not job.task.done():
                context.heartbeat()
                await asyncio.wait({job.task}, timeout=_HEARTBEAT_SECONDS)

    def _complete(self, context: ActivityContext, outputs: Mapping[str, Output]) -> ActivityResult:
        for name, output in outputs.items():
            if output.sensitive:
                self._environment.masker.register(output.value)
            context.set_output_value(name, output.value, sensitive=output.sensitive)
        return ActivityResult.complete()

    def _has_nothing_to_dispose(self, assignment: _Assignment, workspace: Workspace) -> bool:
        is_local = assignment.settings.backend["type"] == "local"
        return assignment.operation is Operation.DISPOSE and is_local and not workspace.exists()

    def _retry(self, context: ActivityContext, error: Retry) -> ActivityResult:
        if isinstance(error, Interrupted) and context.stopping.reason is StopReason.DRAIN:
            return ActivityResult.schedule(timedelta(0))
        return ActivityResult.retry(self._mask(str(error)))

    def _retry_or_fatal(self, error: Fatal | Retry) -> ActivityResult:
        text = self._mask(str(error))
        return ActivityResult.retry(text) if isinstance(error, Retry) else ActivityResult.fatal(text)

    def _progress(self, context: ActivityContext, line: str) -> None:
        context.progress(self._mask(line))
        context.heartbeat()

    def _mask(self, text: str) -> str:
        return self._environment.masker.mask(text)


def _workspace_key(context: ActivityContext, settings: Settings, secret_inputs: frozenset[str]) -> str:
    template = settings.workspace or naming.DEFAULT_TEMPLATE
    if exposed := sorted(templates.used_names(template) & secret_inputs):
        raise Fatal(
            f"naming the workspace: config.workspace uses the secret {', '.join(map(repr, exposed))}",
            remedy="a workspace's name is on disk: use inputs that are not secret",
        )
    return naming.workspace_key(template, templates.names(context.details, context.inputs))


def _delay(polls: int) -> timedelta:
    seconds = min(_FIRST_DELAY_SECONDS * _GROWTH ** min(polls, 20), _LAST_DELAY_SECONDS)
    return timedelta(seconds=seconds)
