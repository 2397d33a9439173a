"""One run of a loader, and what keeps two of them from waiting for each other for ever.

A run is told apart by the context it runs in (`contextvars`), so that what a loader calls, awaits
or hands to `asyncio.to_thread` counts as its own. Each run knows the runs it needs; before a run
waits for another it looks whether that one needs, in the end, itself.
"""

import logging
import threading
from contextvars import ContextVar
from typing import Final

logger = logging.getLogger("onecopy")

NOTICE_SECONDS: Final = 30.0


class Run:
    """One run of the loader of one dataset; `guard` protects all but `done`."""

    def __init__(self, dataset: str, outer: tuple["Run", ...]) -> None:
        self.dataset = dataset
        self.chain = (*outer, self)
        self.needs: list[Run] = []
        self.done = threading.Event()
        self.error: BaseException | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the datasets being loaded in this context, the outermost first."""
        return tuple(run.dataset for run in self.chain)


class Guard:
    """A lock around the records of all runs; never held while a loader runs."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Take a new lock: in a forked child, the thread that held the old one is gone."""
        # Re-entrant, because a signal handler may use a dataset while this thread holds it.
        self.lock = threading.RLock()


guard: Final = Guard()
current: Final[ContextVar[Run | None]] = ContextVar("onecopy_dataset_run", default=None)


def chain() -> tuple[Run, ...]:
    """The runs in whose loaders this code is, the outermost first."""
    run = current.get()
    return run.chain if run is not None else ()


def circle(wanted: Run) -> tuple[str, ...] | None:
    """The circle that this context would close by waiting for a run, or None; needs the guard."""
    runs = chain()
    if not runs:
        return None
    if wanted in runs:
        return (*(run.dataset for run in runs[runs.index(wanted) :]), wanted.dataset)
    way = _way(wanted, runs[-1], set())
    return (runs[-1].dataset, *(run.dataset for run in way)) if way else None


def _way(start: Run, end: Run, seen: set[Run]) -> list[Run]:
    """The runs from one to another along what each needs; empty if there is no way."""
    if start is end:
        return [end]
    seen.add(start)
    for needed in start.needs:
        if needed not in seen and (rest := _way(needed, end, seen)):
            return [start, *rest]
    return []


def wait(run: Run) -> None:
    """Wait until a run has ended, and say so now and then when that takes long."""
    waited = 0.0
    while not run.done.wait(NOTICE_SECONDS):
        waited += NOTICE_SECONDS
        logger.warning(
            "waiting for dataset %r for %.0f s: another thread is loading it. If its loader waits "
            "for threads of its own that use this dataset, neither will ever end.",
            run.dataset,
            waited,
        )
