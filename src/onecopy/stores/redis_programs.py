"""What the Redis store does for its callers: programs, many of which share each way to the server.

A program is a generator: it yields the commands of its next step and is sent their answers. All
programs that are under way take each step together, in one round trip.
"""

import os
import weakref
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, cast

from onecopy.redis_address import RedisAddress
from onecopy.redis_script import Script
from onecopy.stores.base import Unavailable
from onecopy.stores.lanes import Lane, Operation, Take
from onecopy.stores.redis_link import Cut, Link, Request

type Program[T] = Generator[Sequence[Request], list[Any], T]
type Make[T] = Callable[[], Program[T]]
"""Begins a program; again, after a cut: it has to see by itself what has happened already."""


class Programs:
    """A thread with a connection of its own that runs programs."""

    def __init__(self, name: str, address: RedisAddress, scripts: Sequence[Script]) -> None:
        self._link = Link(address, scripts)
        self._lane = Lane(name, self._serve)
        _all.add(self)

    async def run[T](self, make: Make[T]) -> T:
        """Run a program, and return what it returns. Raises what it raises, and Unavailable."""
        (result,) = await self._lane.do(make)
        return cast("T", result)

    def end(self) -> None:
        """Finish what is under way, end the thread and let go of the connection; blocks."""
        self._lane.end()
        self._link.close()

    def begin_anew(self) -> None:
        """In a forked child: thread and connection are the parent's."""
        self._lane.begin_anew()
        self._link.forget()

    def _serve(self, take: Take) -> list[Operation]:
        operations = take()
        try:
            self._run_all(operations)
        except Cut as cut:
            self._go_on_after(cut, operations)
        except Exception as error:
            _fail(operations, error)
        return operations

    def _go_on_after(self, cut: Cut, operations: Sequence[Operation]) -> None:
        """Begin anew, once, what a server that was started again has not answered."""
        if not cut.stale:
            _fail(operations, cut.unavailable)
            return
        try:
            self._run_all(operations)
        except Cut as again:
            _fail(operations, again.unavailable)
        except Exception as error:
            _fail(operations, error)

    def _run_all(self, operations: Sequence[Operation]) -> None:
        runs = [_Run(each) for each in operations if not _done(each)]
        try:
            self._run_together(runs)
        finally:
            for each in runs:
                each.close()

    def _run_together(self, under_way: "Sequence[_Run]") -> None:
        for each in under_way:
            each.go_on(None)
        while under_way := [each for each in under_way if not each.ended]:
            answers = self._link.ask([one for each in under_way for one in each.requests])
            first = 0
            for each in under_way:
                last = first + len(each.requests)
                each.go_on(answers[first:last])
                first = last


class _Run:
    """A program under way."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._program: Program[Any] = operation.run()
        self.requests: Sequence[Request] = ()
        self.ended = False

    def close(self) -> None:
        """Have it let go of what it holds, wherever it has come to."""
        self._program.close()

    def go_on(self, answers: list[Any] | None) -> None:
        """Take the next step, with the answers to the one before."""
        operation = self._operation
        refusal = next((each for each in answers or () if isinstance(each, Unavailable)), None)
        try:
            if refusal is not None:
                self.requests = self._program.throw(refusal)
            else:
                self.requests = self._program.send(cast("list[Any]", answers))
        except StopIteration as end:
            operation.result, self.ended = (end.value,), True
        except Exception as error:
            operation.error, self.ended = error.with_traceback(None), True


def _done(operation: Operation) -> bool:
    return operation.result is not None or operation.error is not None


def _fail(operations: Sequence[Operation], error: Exception) -> None:
    for each in operations:
        if not _done(each):
            # One for each caller: an exception keeps the traceback of who raised it.
            each.error = Unavailable(*error.args) if isinstance(error, Unavailable) else error


_all: Final[weakref.WeakSet[Programs]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in _all:
        each.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
