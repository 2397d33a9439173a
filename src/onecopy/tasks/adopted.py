"""A task of Celery's own, whose jobs are sent and followed as those of any task."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from onecopy.execution.policy import RetryPolicy
from onecopy.tasks.registry import Tasks
from onecopy.tasks.signature import Signature
from onecopy.tasks.task import SyncTask

if TYPE_CHECKING:
    from celery.app.task import Task as CeleryTask

_ANY_NUMBER: Final = 2**31 - 1


class AdoptedTask(SyncTask[..., Any]):
    """It is run by the workers of its app, which decides on retries as well."""

    adopted = True

    def __init__(self, task: "CeleryTask[..., Any]", tasks: Tasks) -> None:
        """Read its signature. Raises DeclarationError."""
        most = task.max_retries
        queue: Any = getattr(task, "queue", None)
        options: Any = {"retries": _ANY_NUMBER if most is None else most}
        if isinstance(queue, str):
            options["queue"] = queue
        super().__init__(task.run, task.name, tasks, options)

    def _read_signature(self, function: Callable[..., Any]) -> Signature:
        return Signature(function, self.name, unhinted=Any)

    @property
    def policy(self) -> RetryPolicy:
        """Celery's retries are Celery's; one whose worker was lost is tried again."""
        return RetryPolicy()
