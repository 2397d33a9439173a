"""Events over a WebSocket (RFC 6455), of one job or of any."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, override
from urllib.parse import urlsplit

from starlette.types import Message
from starlette.websockets import WebSocket

from onecopy.errors import JobNotFound, OneCopyError, StoreUnavailable
from onecopy.execution.events import Following, News
from onecopy.execution.ports import Runtime
from onecopy.http.outlet import Outlet
from onecopy.http.problems import Kind, Problem, of_error
from onecopy.http.streams import Streams
from onecopy.http.wishes import ID, Allowance, read_wish
from onecopy.tasks import Tasks

DONE: Final = 1000
NO_TEXT: Final = 1003
REFUSED: Final = 1008
TOO_BIG: Final = 1009
RESTART: Final = 1012
TRY_LATER: Final = 1013

_MOST_JOBS: Final = 1000
"""Jobs that one socket follows at a time."""
_LARGEST: Final = 64 * 1024
"""Characters of a message."""
_AT_ONCE: Final = 100
_A_SECOND: Final = 20.0
"""Messages that one socket may send."""


class JobSocket(Outlet):
    """A socket that has been accepted: a listener, and a stream.

    job: it is followed from the start, and the socket closes once it has ended.
    """

    def __init__(self, socket: WebSocket, tasks: Tasks, job: str | None = None) -> None:
        super().__init__(socket.send)
        self._socket = socket
        self._tasks = tasks
        self._job = job
        self._followings: dict[str, Following] = {}
        self._allowance = Allowance(_AT_ONCE, _A_SECOND, asyncio.get_running_loop().time())
        self._main: asyncio.Task[Any] | None = None
        self._ended = False
        self._dropped = False

    async def stay(self, after: int = -1) -> None:
        """Do what the client wishes, and tell it what happens, until either closes."""
        self._main = asyncio.current_task()
        streams = Streams.here()
        streams.add(self)
        try:
            if streams.leaving(self._socket.scope):
                self.leave(0)
            await self._converse(after)
            await self.sent()
        except asyncio.CancelledError:
            if not self._dropped or self._main is None:
                raise
            self._main.uncancel()
        finally:
            streams.discard(self)
            self._stop_all()
            self.close()

    async def _converse(self, after: int) -> None:
        try:
            runtime = await self._tasks.open()
        except StoreUnavailable:
            self.end(TRY_LATER, "the store cannot be reached")
            return
        if self._job is not None and not self._ended:
            self._subscribe(runtime, [self._job], lambda _: after)
        while not self._ended:
            await self._receive(runtime)

    async def _receive(self, runtime: Runtime) -> None:
        message = await self._socket.receive()
        text = message.get("text")
        if message["type"] == "websocket.disconnect":
            self._ended = True
        elif not self._allowance.take(asyncio.get_running_loop().time()):
            self.end(REFUSED, f"a client sends at most {_A_SECOND:g} messages a second")
        elif text is None:
            self.end(NO_TEXT, "messages are text")
        elif len(text) > _LARGEST:
            self.end(TOO_BIG, f"a message has at most {_LARGEST} characters")
        else:
            await self._obey(runtime, text)

    async def _obey(self, runtime: Runtime, text: str) -> None:
        try:
            wish = read_wish(text)
            if isinstance(wish.subscribe, list):
                self._subscribe(runtime, wish.subscribe, wish.after_of)
            elif isinstance(wish.unsubscribe, list):
                for job in wish.unsubscribe:
                    self._unsubscribe(job)
            elif isinstance(wish.cancel, str):
                await self._cancel(wish.cancel)
        except Problem as problem:
            self._refuse(problem)

    def _subscribe(
        self, runtime: Runtime, jobs: Sequence[str], after_of: Callable[[str], int]
    ) -> None:
        if len(self._followings.keys() | set(jobs)) > _MOST_JOBS:
            self.end(REFUSED, f"a socket follows at most {_MOST_JOBS} jobs")
            return
        for job in jobs:
            self._unsubscribe(job)
            if ID.fullmatch(job):
                self._followings[job] = runtime.follow(job, after_of(job), self)
            else:
                self.fail(job, KeyError(job))

    def _unsubscribe(self, job: str) -> None:
        following = self._followings.pop(job, None)
        if following is not None:
            following.stop()

    async def _cancel(self, job: str) -> None:
        try:
            await self._tasks.cancel(job)
        except JobNotFound:
            raise _unknown(job) from None
        except OneCopyError as error:
            problem = of_error(error, 1)
            if problem is None:
                raise
            raise problem from None

    # As a listener.

    def tell(self, job: str, news: News) -> bool:
        """Send news."""
        if news.over:
            self._followings.pop(job, None)
        messages = [_text(text.decode()) for text in news.texts]
        room = self.put(*messages) if messages else True
        if news.over and job == self._job:
            Streams.here().end_later(partial(self.end, DONE, "the job has ended"))
        return room

    def fail(self, job: str, error: Exception) -> None:
        """Say that there is no such job, or that the store is closed."""
        self._followings.pop(job, None)
        if not isinstance(error, KeyError):
            self.end(TRY_LATER, "the store cannot be reached")
            return
        self._refuse(_unknown(job))
        if job == self._job:
            self.end(REFUSED, "there is no such job")

    # As a stream.

    def beat(self) -> None:
        """Do nothing: the server sends pings by itself."""

    def leave(self, milliseconds: int) -> None:
        """Close, and have the client connect again."""
        self.end(RESTART, "the server is restarted: connect again")

    def drop(self) -> None:
        """End at once, though the client does not read."""
        self._dropped = True
        if self._main is not None:
            self._main.cancel()

    @override
    def on_room(self) -> None:
        for following in self._followings.values():
            following.resume()

    def end(self, code: int, reason: str) -> None:
        """Close, after what is to be sent before."""
        if not self._ended:
            self._ended = True
            self._stop_all()
            self.put({"type": "websocket.close", "code": code, "reason": reason})

    def _refuse(self, problem: Problem) -> None:
        if not self._ended:
            self.put(_text(json.dumps({"error": problem.members_in_full()})))

    def _stop_all(self) -> None:
        for following in self._followings.values():
            following.stop()
        self._followings.clear()


def is_allowed(socket: WebSocket, origins: Sequence[str]) -> bool:
    """Whether a page of the client's origin may connect; who is no browser names none."""
    origin = socket.headers.get("origin")
    if origin is None:
        return True
    host = urlsplit(origin).netloc.lower()
    return (host != "" and host == socket.headers.get("host", "").lower()) or origin in origins


def _unknown(job: str) -> Problem:
    return Problem(Kind.JOB_UNKNOWN, "It may have been deleted since.", {"job": job})


def _text(text: str) -> Message:
    return {"type": "websocket.send", "text": text}
