"""One copy of the data for any number of workers, and heavy work as jobs that read it."""

TYPE_CHECKING = False  # typing's, which the supervisor does not import
if TYPE_CHECKING:
    from onecopy.app import OneCopy as OneCopy
    from onecopy.datasets import Dataset as Dataset
    from onecopy.errors import Elsewhere as Elsewhere
    from onecopy.errors import Failed as Failed
    from onecopy.errors import Retry as Retry
    from onecopy.errors import TimeLimitReached as TimeLimitReached
    from onecopy.tasks import JobContext as JobContext
    from onecopy.tasks import JobHandle as JobHandle
    from onecopy.tasks import Progress as Progress
    from onecopy.tasks import Task as Task
    from onecopy.tasks import current_job as current_job

_HOMES = {
    "Dataset": "datasets",
    "Elsewhere": "errors",
    "Failed": "errors",
    "JobContext": "tasks",
    "JobHandle": "tasks",
    "OneCopy": "app",
    "Progress": "tasks",
    "Retry": "errors",
    "Task": "tasks",
    "TimeLimitReached": "errors",
    "current_job": "tasks",
}

__all__ = [
    "Dataset",
    "Elsewhere",
    "Failed",
    "JobContext",
    "JobHandle",
    "OneCopy",
    "Progress",
    "Retry",
    "Task",
    "TimeLimitReached",
    "current_job",
]


def __getattr__(name: str) -> object:
    """Import a public name at its first use (PEP 562).

    The supervisor, and whoever uses `onecopy.heap` alone, must not pay for the rest.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
