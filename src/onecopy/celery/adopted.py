"""Follows adopted tasks in a child of the pool: Celery runs them, the store knows how they fare.

Only those runs that are of jobs: others may send messages of the same tasks, and those run as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from billiard.einfo import ExceptionInfo
from celery import signals
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore
from celery.states import IGNORED

from onecopy.errors import ResultInvalid
from onecopy.execution.attempt import describe
from onecopy.jobs import Change, Fail, Job, Succeed

if TYPE_CHECKING:
    from celery import Celery

    from onecopy.celery.child import Child
    from onecopy.tasks.adopted import AdoptedTask

type Trace = Callable[..., Any]
_logger = logging.getLogger("onecopy.jobs")


class Adopted:
    """Begins and ends the attempts of jobs whose tasks Celery runs in this process."""

    def __init__(self, app: Celery, tasks: Mapping[str, AdoptedTask], child: Child) -> None:
        self._tasks = tasks
        self._child = child
        self._running: dict[str, Job] = {}
        registry: Any = app.tasks
        for name in tasks:
            registry[name].__trace__ = self._following(registry[name].__trace__)
        signals.task_success.connect(self._succeeded, weak=False)
        signals.task_failure.connect(self._failed, weak=False)
        signals.task_retry.connect(self._retried, weak=False)

    def _following(self, trace: Trace) -> Trace:
        """Return what runs a task, unless its job is another's or has been cancelled."""

        def follow(uuid: str, *rest: Any, **named: Any) -> Any:  # noqa: ANN401  Celery's
            try:
                job = self._child.claim(uuid)
            except Ignore:
                return _ignored()
            if job is None:
                return trace(uuid, *rest, **named)
            self._running[uuid] = job
            try:
                return trace(uuid, *rest, **named)
            finally:
                left = self._running.pop(uuid, None)
                if left is not None and left.lease is not None:
                    error = RuntimeError("Celery has ended it without saying how")
                    self._end(left, Fail(left.lease.token, describe(error)))

        return follow

    def _succeeded(self, sender: Any, result: object, **_: object) -> None:  # noqa: ANN401
        job = self._running.pop(str(sender.request.id), None)
        if job is None or job.lease is None:
            return
        try:
            text = self._tasks[job.task].encode_result(result)
        except ResultInvalid as error:
            self._end(job, Fail(job.lease.token, describe(error)))
        else:
            self._end(job, Succeed(job.lease.token, text))

    def _failed(self, task_id: str, exception: BaseException, **_: object) -> None:
        job = self._running.pop(task_id, None)
        if job is not None and job.lease is not None:
            self._end(job, Fail(job.lease.token, describe(exception)))

    def _retried(self, request: Any, reason: Any, **_: object) -> None:  # noqa: ANN401  Celery's
        job = self._running.pop(str(request.id), None)
        if job is None or job.lease is None:
            return
        error = cast("BaseException | None", reason.exc) or reason
        due = _due(reason.when)
        self._end(job, Fail(job.lease.token, describe(error), due))

    def _end(self, job: Job, change: Change) -> None:
        self._child.record(job, change)


def _due(when: object) -> float:
    """When Celery's Retry is due: a time, or seconds from now on."""
    now = datetime.now(UTC)
    if isinstance(when, datetime):
        return when.timestamp()
    return now.timestamp() + (when if isinstance(when, int | float) else 0)


def _ignored() -> Any:  # noqa: ANN401  Celery's
    try:
        raise Ignore
    except Ignore as error:
        info = ExceptionInfo(internal=True)
        return trace_ok_t(info, TraceInfo(IGNORED, error), 0.0, None)
