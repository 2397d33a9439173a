"""Calls that are served in groups: what several callers ask for while a group is served."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onecopy.stores.base import Unavailable

_LARGEST: Final = 256


@dataclass(slots=True, eq=False)
class _Call:
    request: Any
    future: asyncio.Future[Any]


class Groups[Request, Answer]:
    """Serves the requests of one event loop.

    serve: answers a group, in its order; an answer that is an exception is raised. If it raises,
        and the group is of several, each of them is served by itself.
    at_once: groups; with one, requests are served in their order.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]],
        *,
        at_once: int,
    ) -> None:
        self._serve = serve
        self._at_once = at_once
        self._pending: deque[_Call] = deque()
        self._starting = False
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, request: Request) -> Answer:
        """Return the answer to a request; if this is cancelled early, it is not served."""
        call = _Call(request, asyncio.get_running_loop().create_future())
        self._pending.append(call)
        self._begin()
        try:
            return await call.future
        except asyncio.CancelledError:
            if call in self._pending:
                self._pending.remove(call)
            raise

    def _begin(self) -> None:
        """Have a task take what is pending, with all that is asked for until it runs."""
        if self._starting or self._running >= self._at_once:
            return
        self._starting = True
        self._running += 1
        task = asyncio.get_running_loop().create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        self._starting = False
        while self._pending:
            count = min(len(self._pending), _LARGEST)
            await self._answer([self._pending.popleft() for _ in range(count)])
        self._running -= 1  # at once: who asks from here on begins another

    async def _answer(self, calls: Sequence[_Call]) -> None:
        try:
            answers = await self._serve([call.request for call in calls])
        except Unavailable as error:
            # One for each caller: an exception keeps the traceback of who raised it.
            answers = [type(error)(*error.args) for _ in calls]
        except Exception as error:
            if len(calls) > 1:
                for call in calls:
                    await self._answer([call])
                return
            answers = [error]
        for call, answer in zip(calls, answers, strict=True):
            _resolve(call.future, answer)


def _resolve(future: asyncio.Future[Any], answer: object) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
