"""Makes jobs and calls of a task, with the options of this sending, and sends them."""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

# json's own would refuse integers of over 4,300 digits, which travel otherwise.
from pydantic_core import from_json, to_json

from onecopy.errors import DeclarationError
from onecopy.execution.background import finish
from onecopy.execution.ports import Call
from onecopy.jobs import Job, new_id
from onecopy.tasks.context import current_job
from onecopy.tasks.handle import JobHandle
from onecopy.tasks.options import Sending, TaskOptions
from onecopy.tasks.ordering import key_of
from onecopy.tasks.registry import Tasks, store_errors
from onecopy.tasks.signature import Signature

_CALL_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Sender[R]:
    """Sends one task."""

    task: str
    signature: Signature
    tasks: Tasks
    options: TaskOptions
    sending: Sending

    async def submit(self, *args: Any, **kwargs: Any) -> JobHandle[R]:  # noqa: ANN401
        """Submit a job; it is durable once this returns.

        Raises ArgumentsInvalid, QueueIsFull, StoreUnavailable, IdempotencyMismatch; with a
        `callback_url` CallbackRefused, WebhooksNotInstalled; with a `connection`
        TransactionUnusable, and what its transaction fails with.
        """
        [job] = await self.accept([self.job(self.signature.encode(args, kwargs))])
        return self.handle(job)

    def submit_sync(self, *args: Any, **kwargs: Any) -> JobHandle[R]:  # noqa: ANN401
        """Submit a job where there is no event loop."""
        if self.sending.connection is None:
            return finish(self.submit(*args, **kwargs))
        return self._submit_in_sync(self.job(self.signature.encode(args, kwargs)))

    def _submit_in_sync(self, job: Job) -> JobHandle[R]:
        """Use a connection in the thread that it belongs to."""
        finish(self._check_callback())
        [job] = self.tasks.accept_in_sync(self.sending.connection, [job], self.options.max_queued)
        return self.handle(job)

    async def submit_many(
        self, calls: Iterable[tuple[object, ...] | Mapping[str, object]]
    ) -> list[JobHandle[R]]:
        """Submit a job for each tuple of arguments, or mapping of them by name: all or none."""
        if self.sending.idempotency_key is not None:
            raise DeclarationError(
                self.task, None, "an idempotency_key is of one job: submit them one by one"
            )
        texts = [
            self.signature.encode((), call)
            if isinstance(call, Mapping)
            else self.signature.encode(call, {})
            for call in calls
        ]
        jobs = [self.job(text) for text in texts]
        return [self.handle(job) for job in await self.accept(jobs)] if jobs else []

    async def call(self, *args: Any, **kwargs: Any) -> R:  # noqa: ANN401
        """Run the task in a job worker now, with no store, and return its result.

        Raises ArgumentsInvalid, NoWorker, Busy, JobFailed, ResultTimeout.
        """
        call = Call(
            task=self.task,
            queue=self.options.queue,
            arguments=self.signature.encode(args, kwargs),
            timeout=self.options.timeout or _CALL_SECONDS,
        )
        runtime = await self.tasks.open()
        with store_errors():
            text = await runtime.call(call)
        return self.decode_result(text)

    def call_sync(self, *args: Any, **kwargs: Any) -> R:  # noqa: ANN401
        """Run the task in a job worker now, where there is no event loop."""
        return finish(self.call(*args, **kwargs))

    def job(self, arguments: str) -> Job:
        """Return a new job for arguments that `Signature` has written. Raises ArgumentsInvalid."""
        now = time.time()
        options, sending = self.options, self.sending
        due_at = sending.due_at(now)
        parent = current_job()
        key = sending.idempotency_key
        return Job(
            id=new_id(),
            task=self.task,
            arguments=arguments,
            queue=options.queue,
            priority=options.priority,
            max_attempts=options.retries + 1,
            created_at=now,
            due_at=due_at,
            expires_at=None if options.expires is None else max(now, due_at) + options.expires,
            timeout=options.timeout,
            keep=options.keep,
            traceparent=sending.traceparent or (parent.traceparent if parent else None),
            idempotency_key=key,
            fingerprint=None if key is None else _fingerprint(self.task, arguments),
            callbacks=self._callbacks(),
            ordering_key=key_of(self.task, options.ordering_key, self.signature, arguments),
        )

    async def accept(self, jobs: list[Job]) -> list[Job]:
        """Send jobs that `job` has made; raises as `submit`."""
        await self._check_callback()
        if self.sending.connection is not None:
            connection = self.sending.connection
            return await self.tasks.accept_in(connection, jobs, self.options.max_queued)
        return await self.tasks.accept(jobs, self.options.max_queued)

    async def _check_callback(self) -> None:
        if self.sending.callback_url is not None:
            await self.tasks.callbacks.check_given(self.sending.callback_url)

    def _callbacks(self) -> tuple[str, ...]:
        urls = (*self.tasks.callbacks.urls, *self.options.callbacks)
        if self.sending.callback_url is not None:
            urls = (*urls, self.sending.callback_url)
        return tuple(dict.fromkeys(urls))

    def handle(self, job: Job) -> JobHandle[R]:
        """Return what follows a job of this task."""
        return JobHandle(job.id, self.tasks, self.decode_result)

    def decode_result(self, text: str) -> R:
        """Return the result of which this is the JSON. Raises ResultInvalid."""
        result: Any = self.signature.decode_result(text)
        return result


def _sorted(value: Any) -> Any:  # noqa: ANN401  whatever JSON has
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in sorted(cast(dict[str, Any], value).items())}
    if isinstance(value, list):
        return [_sorted(inner) for inner in cast(list[Any], value)]
    return value


def _fingerprint(task: str, arguments: str) -> str:
    """Tell one request from another, whatever the order of their keys."""
    canonical = to_json(_sorted(from_json(arguments))).decode()
    return hashlib.sha256(f"{task}\n{canonical}".encode()).hexdigest()
