"""The parent of workers that another server forks: it loads and seals once, before the first."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from onecopy import datasets, heap
from onecopy.errors import OneCopyError, UserCodeError
from onecopy.server.fork_safety import other_threads
from onecopy.server.narration import megabytes

if TYPE_CHECKING:
    import logging


class Master:
    """What has been done in this process on behalf of all its workers."""

    def __init__(self, start_threads_in: str) -> None:
        """start_threads_in: where this server's workers may start threads of their own."""
        self._start_threads_in = start_threads_in
        self._loaded = False
        self._sealed = False

    def load(self, log: logging.Logger) -> bool:
        """Load the datasets and run the warm functions, once; False, and the log, if one raises."""
        if self._loaded:
            return True
        self._loaded = True
        try:
            for dataset in datasets.registered():
                dataset.load()
                log.info("Loaded dataset %s in %.2f s", dataset.name, dataset.load_seconds)
            for warmer in datasets.warmers():
                warmer()
        except OneCopyError as error:
            if isinstance(error, UserCodeError):
                log.error("%s\n%s", error, error.user_traceback.rstrip())
            else:
                log.error("%s", error)
            return False
        return True

    def seal(self, log: logging.Logger) -> None:
        """Seal the heap, once, and say what that gave."""
        if self._sealed:
            return
        self._sealed = True
        self._warn_of_threads(log)
        loaded = [dataset for dataset in datasets.registered() if dataset.loaded]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            report = heap.seal({dataset.name: dataset() for dataset in loaded})
        for dataset in loaded:
            if dataset.name in report.groups:  # a heap that was frozen only is not counted
                dataset.record(report.groups[dataset.name])
        for warning in said:
            log.warning("%s", warning.message)
        if report.immortal:
            log.info(
                "Sealed %s objects, %s, in %.2f s: the workers share one copy",
                f"{report.objects:,}",
                megabytes(report.bytes),
                report.seconds,
            )

    @property
    def sealed(self) -> bool:
        """Whether it was: nothing more is to be prepared for the workers."""
        return self._sealed

    def _warn_of_threads(self, log: logging.Logger) -> None:
        if threads := other_threads():
            log.warning(
                "These threads are not carried over into the workers: %s. What needs them stands "
                "still there; start them in each worker (%s).",
                ", ".join(threads),
                self._start_threads_in,
            )
