"""Threads that do what event loops ask for, in groups: what several callers ask for at once."""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from onecopy.stores.base import Unavailable

PATIENCE = 20.0
"""Seconds that a caller waits for its turn."""


@dataclass(slots=True, eq=False)
class Operation:
    """Something to do for a caller, and where to say what came of it.

    run: is given what the lane's `serve` has for it; it runs in the lane's thread.
    until: when its caller's patience is over, by the clock of the event loop.
    """

    run: Callable[..., Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    until: float
    result: Any = None
    error: Exception | None = None


type Take = Callable[[], list[Operation]]

_alone: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def serve_in_own_thread(loop: asyncio.AbstractEventLoop) -> None:
    """Have what a loop asks for done in its own thread at once, which waits.

    For a loop that runs for nothing else, and a store that nobody else uses.
    """
    _alone.add(loop)


class Lane:
    """A thread that serves operations in groups; it starts with the first.

    serve: serves one group and returns it. It takes the group itself, when its turn has come, so
        that what is asked for while it waits is in the group too.
    """

    def __init__(self, name: str, serve: Callable[[Take], list[Operation]]) -> None:
        self._name = name
        self._serve = serve
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the thread and what waits for it: both are the parent's, after a fork."""
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pending: deque[Operation] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._watched: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        """The loops with a timer that looks after what they wait for: one, and not one for each."""

    def do[T](self, run: Callable[..., T]) -> asyncio.Future[T]:
        """Have something done in the lane's thread; the future has what it returns.

        Or Unavailable, if its turn does not come; if it is cancelled before, it is not done.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        until = loop.time() + PATIENCE
        self._pending.append(Operation(run, future, loop, until))
        if loop in _alone:
            _resolve(self._serve(self._take))
            return future
        if self._thread is None:
            self._start()
        self._bell.put(True)
        if loop not in self._watched:
            self._watched.add(loop)
            loop.call_at(until, self._watch, loop)
        return future

    def end(self) -> None:
        """Serve what is pending and end the thread; blocks until it has."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._bell.put(False)
                thread.join(PATIENCE)  # it may wait for a stopped process

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"onecopy-{self._name}", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        go_on = True
        while go_on:
            go_on = self._bell.get()
            if self._pending:
                _deliver(self._serve(self._take))

    def _take(self) -> list[Operation]:
        taken: list[Operation] = []
        while self._pending and len(taken) < 256:
            try:
                operation = self._pending.popleft()
            except IndexError:  # withdrawn at this moment
                break
            if not operation.future.done():  # else cancelled
                taken.append(operation)
        return taken

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those of a loop who have waited for too long, and look again when others have."""
        waiting = [operation for operation in self._pending.copy() if operation.loop is loop]
        for operation in waiting:
            if operation.until > loop.time():
                loop.call_at(operation.until, self._watch, loop)
                return
            self._give_up(operation)
        self._watched.discard(loop)

    def _give_up(self, operation: Operation) -> None:
        try:
            self._pending.remove(operation)
        except ValueError:  # its turn has come
            return
        if not operation.future.done():
            words = (
                f"the store is busy for {PATIENCE:g} seconds: is a process stopped that uses it?"
            )
            operation.future.set_exception(Unavailable(words))


def _deliver(operations: Iterable[Operation]) -> None:
    """Answer all callers, with one call for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Operation]] = {}
    for operation in operations:
        loops.setdefault(operation.loop, []).append(operation)
    for loop, of_loop in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, of_loop)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _resolve(operations: list[Operation]) -> None:
    for operation in operations:
        if operation.future.done():
            continue
        if operation.error is not None:
            operation.future.set_exception(operation.error)
        else:
            operation.future.set_result(operation.result)
