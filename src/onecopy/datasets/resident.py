"""The resident dataset: any Python object, loaded once in a process and shared by its forks."""

import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, cast

from onecopy.datasets import loading, registry
from onecopy.datasets.awaitables import finish
from onecopy.errors import (
    DatasetCycle,
    DatasetDefinitionError,
    DatasetLoadError,
    DatasetNotHere,
)

if TYPE_CHECKING:
    from onecopy import heap

# From a dataset that the failing one needs: these have the name, the path and the cause already.
_SAYS_ENOUGH = (DatasetLoadError, DatasetCycle)


class Dataset[T]:
    """Named data that is loaded once; calling it returns the data.

    Under `onecopy run` the image loads it before any worker is forked. Anywhere else the first call
    loads it, in whatever thread that is made; calls made meanwhile wait for it.
    """

    kind: ClassVar[str] = "resident"

    def __init__(self, loader: Callable[[], Awaitable[T]] | Callable[[], T], name: str) -> None:
        """Define a dataset; `OneCopy.dataset` also registers it.

        Raises DatasetDefinitionError if the loader needs arguments or is a generator.
        """
        _check_loader(loader, name)
        self.name = name
        self.source = _source(loader)
        self.__doc__ = loader.__doc__
        self._loader = loader
        self._run: loading.Run | None = None
        self._loaded = False
        self._value: T | None = None
        self._seconds: float | None = None
        self._tally: heap.Tally | None = None

    def __repr__(self) -> str:
        return f"<Dataset {self.name!r}, {'loaded' if self._loaded else 'not loaded'}>"

    def __call__(self) -> T:
        """Return the data; load it first if this is the first use in this process.

        Raises DatasetLoadError if the loader raises (the next call tries again), and DatasetCycle
        if the loader needs, in the end, this very dataset.
        """
        if not self._loaded:
            if registry.kept_out():
                raise DatasetNotHere(self.name)
            self._load()
        return cast(T, self._value)

    def load(self) -> None:
        """Load the data unless it is loaded; raises what a call raises."""
        self()

    @property
    def loaded(self) -> bool:
        """Whether the data is in this process."""
        return self._loaded

    @property
    def load_seconds(self) -> float | None:
        """How long the loader ran, in seconds, with the datasets it loaded on its way; None before.

        Source: `time.perf_counter` around the loader.
        """
        return self._seconds

    @property
    def objects(self) -> int | None:
        """How many Python objects the data consists of; None while it is not loaded, and where
        no heap can be sealed and so none be counted.

        Source: the seal where there was one, else a walk at the first request (`heap.size`).
        """
        tally = self._measured()
        return tally.objects if tally is not None else None

    @property
    def bytes(self) -> int | None:
        """The bytes of those objects, by the same source; None where `objects` is None."""
        tally = self._measured()
        return tally.bytes if tally is not None else None

    def record(self, tally: "heap.Tally") -> None:
        """Keep what the seal has counted, so that nobody has to walk the data again."""
        self._tally = tally

    def forget_run_of_other_threads(self) -> None:
        """In a forked child: a run of a thread that was not forked will never end."""
        if self._run not in loading.chain():
            self._run = None

    def _measured(self) -> "heap.Tally | None":
        if self._tally is None and self._loaded:
            # Here, because a process that never asks need not load the extension.
            from onecopy import heap

            if heap.self_test().works:
                self._tally = heap.size(self._value)
        return self._tally

    def _load(self) -> None:
        """Run the loader, or wait for the run that another thread has begun."""
        outer = loading.chain()
        with loading.guard.lock:
            if self._loaded:
                return
            run, mine = self._run, self._run is None
            if run is None:
                run = self._run = loading.Run(self.name, outer)
            elif path := loading.circle(run):
                raise DatasetCycle(self.name, path)
            if outer:
                outer[-1].needs.append(run)
        try:
            if mine:
                self._perform(run)
            else:
                self._await(run)
        finally:
            with loading.guard.lock:
                if outer:
                    outer[-1].needs.remove(run)

    def _perform(self, run: loading.Run) -> None:
        token = loading.current.set(run)
        try:
            begin = time.perf_counter()
            value = self._call_loader()
            self._seconds = time.perf_counter() - begin
            self._value, self._loaded = value, True
        except _SAYS_ENOUGH as error:
            run.error = error
            raise
        except Exception as error:
            run.error = error
            raise DatasetLoadError(self.name, run.path) from error
        finally:
            loading.current.reset(token)
            with loading.guard.lock:
                self._run = None
            run.done.set()

    def _call_loader(self) -> T:
        result = self._loader()
        return finish(result) if inspect.isawaitable(result) else cast(T, result)

    def _await(self, run: loading.Run) -> None:
        """Wait for a run of another thread and raise as it does; each thread its own exception."""
        loading.wait(run)
        if isinstance(run.error, _SAYS_ENOUGH):
            raise type(run.error)(*run.error.args) from run.error.__cause__
        if run.error is not None:
            raise DatasetLoadError(self.name, run.path) from run.error
        # The other thread may have been interrupted: then this one has to load.
        self()


def _check_loader(loader: Callable[[], object], name: str) -> None:
    """Refuse at the definition what could only fail, or surprise, at the first use."""
    if not callable(loader):
        raise DatasetDefinitionError(name, f"{loader!r} is not a function.")
    if inspect.isgeneratorfunction(loader) or inspect.isasyncgenfunction(loader):
        raise DatasetDefinitionError(
            name, "its loader is a generator, which is used up when it is read. Return a list."
        )
    try:
        inspect.signature(loader).bind()
    except TypeError as error:
        raise DatasetDefinitionError(
            name, f"its loader is called with no arguments ({error}). Give each one a default."
        ) from None


def _source(loader: Callable[[], object]) -> str:
    """Where a loader is written, as "file:line"."""
    code = getattr(inspect.unwrap(loader), "__code__", None)
    if code is None:
        return repr(loader)
    return f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}"
