"""A task of ours as Celery knows it: registered under its own name, run by the child it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.task import Task
from celery.exceptions import Ignore

from onecopy.celery import child
from onecopy.celery.wholeness import must_be_whole
from onecopy.engines.celery_app import queue_of
from onecopy.errors import OptionError

if TYPE_CHECKING:
    from celery import Celery

    from onecopy.tasks import Task as OurTask


# A generic class for those who check types alone.
_Task = Task[..., Any] if TYPE_CHECKING else Task


class JobTask(_Task):
    """Its message names a job; what is to be run, and how, the store knows."""

    abstract = True
    typing = False
    ignore_result = True
    acks_late = False

    def run(self, **_arguments: object) -> object:
        """Run the job's next attempt. Raises what the task raised, or Ignore."""
        here = child.here()
        if here is None:
            raise Ignore
        return here.work(str(self.request.id))

    def start_strategy(self, app: Celery, consumer: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return what begins a job by its message: Celery's own, if that can read it."""
        begin: Any = super().start_strategy(app, consumer, **options)

        def begin_if_whole(message: Any, body: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
            if body is None:  # else it is as Celery sent them long ago, and is looked at there.
                must_be_whole(message)
            return begin(message, body, *rest, **named)

        return begin_if_whole


def register(app: Celery, tasks: dict[str, OurTask[..., Any]]) -> list[str]:
    """Make the tasks known to an app; return the queues that their jobs wait in.

    Raises OptionError: a task of Celery's has the name of one of them.
    """
    registry: Any = app.tasks
    for name, task in tasks.items():
        known = registry.get(name)
        if isinstance(known, JobTask):
            continue
        if known is not None:
            words = f"a task {name!r} is registered in Celery already: rename one of the two"
            raise OptionError("celery", words)
        kind: Any = type("Job", (JobTask,), {"name": name, "__doc__": task.__doc__})
        app.register_task(kind())
    return sorted({queue_of(app, task.declared.queue) for task in tasks.values()})
