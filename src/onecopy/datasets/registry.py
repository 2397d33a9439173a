"""The datasets and the warm functions of this process, in the order of their definition."""

import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from onecopy.datasets import loading
from onecopy.datasets.awaitables import finish
from onecopy.errors import DatasetExists, WarmError

if TYPE_CHECKING:
    from onecopy.datasets.resident import Dataset


class Warmer:
    """A function that the image runs before it seals, so that what it fills lazily is shared."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.name: str = getattr(function, "__qualname__", repr(function))
        self._function = function

    def __call__(self) -> None:
        """Run the function, sync or async.

        Raises WarmError, with the exception of the function as its cause.
        """
        try:
            result = self._function()
            if inspect.isawaitable(result):
                finish(result)
        except Exception as error:
            raise WarmError(self.name) from error


_datasets: Final[dict[str, "Dataset[Any]"]] = {}
_warmers: Final[list[Warmer]] = []


_kept_out = False


def keep_out() -> None:
    """From now on datasets are not loaded in this process: it is of a web tier of its own."""
    global _kept_out
    _kept_out = True


def kept_out() -> bool:
    """Whether datasets may not be loaded in this process."""
    return _kept_out


def registered() -> list["Dataset[Any]"]:
    """All datasets of this process, of every `OneCopy`."""
    return list(_datasets.values())


def warmers() -> list[Warmer]:
    """All warm functions of this process, of every `OneCopy`."""
    return list(_warmers)


def add_dataset(dataset: "Dataset[Any]") -> None:
    """Register a dataset.

    The same code run again (a module imported both as `__main__` and by its name, an app factory
    called twice) replaces what it defined before. Raises DatasetExists if other code has the name.
    """
    with loading.guard.lock:
        known = _datasets.get(dataset.name)
        if known is not None and known.source != dataset.source:
            raise DatasetExists(dataset.name, known.source, dataset.source)
        _datasets[dataset.name] = dataset


def add_warmer(function: Callable[[], object]) -> None:
    """Register a warm function."""
    with loading.guard.lock:
        _warmers.append(Warmer(function))


def _begin_anew_in_child() -> None:
    """After a fork only this thread is left: forget what others were loading."""
    loading.guard.renew()
    for dataset in _datasets.values():
        dataset.forget_run_of_other_threads()


os.register_at_fork(after_in_child=_begin_anew_in_child)
