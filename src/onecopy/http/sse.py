"""Events as Server-Sent Events (WHATWG HTML, 9.2)."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final, override

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from onecopy.execution.events import Following, News
from onecopy.execution.ports import Runtime
from onecopy.http.answers import Asked
from onecopy.http.outlet import Outlet
from onecopy.http.position import write_position
from onecopy.http.problems import Kind, Problem
from onecopy.http.router import stay
from onecopy.http.streams import Streams

_PATIENCE: Final = 15.0
"""Seconds that a client waits for a store that is away, before it is told so."""
_RETRY: Final = 1000
"""Milliseconds after which a client reconnects."""
_SOON: Final = 100
_CHUNK: Final = 64 * 1024
"""Bytes in one message: a client that does not read makes the next one wait."""


class EventStream(Response):
    """An answer that tells the events of jobs, each after a number, until all have ended.

    resumes: the client comes again. It is never told that the store is away: an EventSource that
    is answered by an error comes no more.
    """

    media_type = "text/event-stream"

    def __init__(
        self, asked: Asked, runtime: Runtime, after: Mapping[str, int], *, resumes: bool
    ) -> None:
        self.status_code = 200
        self.background = None
        self._asked = asked
        self._runtime = runtime
        self._after = after
        self._resumes = resumes
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if asked.request.scope["http_version"].startswith("1"):
            # Who comes again after its end may be for another worker.
            headers["Connection"] = "close"
        self.init_headers(headers)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and stay until the stream ends or the client goes."""
        streams = Streams.here()
        if streams.leaving(scope):
            # On another connection, which this worker does not accept any more.
            await self._have_it_come_again(send, _SOON)
            return
        stream = _Stream(send, streams, self._after)
        try:
            if not await stream.join(self._runtime):
                await Response(status_code=204, headers={"Cache-Control": "no-store"})(
                    scope, receive, send
                )
                return
            await send(self._start())
        except Problem as problem:
            stream.close()
            if self._resumes and problem.kind is Kind.UNAVAILABLE:
                await self._have_it_come_again(send, _RETRY)
            else:
                await self._asked.problem(problem)(scope, receive, send)
            return
        except BaseException:
            stream.close()
            raise
        stream.open()
        await stay(stream, scope, receive)

    def _start(self) -> Message:
        return {"type": "http.response.start", "status": 200, "headers": self.raw_headers}

    async def _have_it_come_again(self, send: Send, milliseconds: int) -> None:
        await send(self._start())
        await send(_body(b"retry: %d\n\n" % milliseconds, more=False))


class _Stream(Outlet):
    """A listener that writes what it is told."""

    __slots__ = (
        "_dropped",
        "_followings",
        "_joined",
        "_left",
        "_main",
        "_numbers",
        "_streams",
        "_unheard",
        "_unsent",
    )

    def __init__(self, send: Send, streams: Streams, after: Mapping[str, int]) -> None:
        super().__init__(send)
        self._streams = streams
        self._numbers = dict(after)
        self._left = len(after)
        self._followings: list[Following] = []
        self._unsent: bytes | None = b""
        self._unheard: set[str] | None = set(after)
        self._joined: asyncio.Future[None] | None = None
        self._main: asyncio.Task[Any] | None = None
        self._dropped = False

    async def join(self, runtime: Runtime) -> bool:
        """Begin to listen; return whether anything is, or will be, to tell. Raises Problem."""
        self._joined = asyncio.get_running_loop().create_future()
        for job, number in self._numbers.items():
            self._followings.append(runtime.follow(job, number, self))
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._joined
        except TimeoutError:
            raise _unavailable() from None
        finally:
            self._joined = self._unheard = None
        return bool(self._unsent or self._left)

    def open(self) -> None:
        """Write what was told since then, and all that follows."""
        unsent, self._unsent = self._unsent or b"", None
        self._streams.add(self)
        self._write(b"retry: %d\n\n" % _RETRY + unsent)
        self.on_room()

    async def stay(self, receive: Receive) -> None:
        """Return when the stream has ended or the client has gone."""
        self._main = asyncio.current_task()
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not self._dropped or self._main is None:
                raise
            self._main.uncancel()
        finally:
            self.close()

    @override
    def close(self) -> None:
        """Listen and write no more."""
        super().close()
        self._streams.discard(self)
        for following in self._followings:
            following.stop()
        self._followings.clear()

    # As a listener.

    def tell(self, job: str, news: News) -> bool:
        """Write news."""
        frames = b"".join(self._frames(job, news))
        self._left -= news.over
        if self._unsent is None:
            return self._write(frames)
        self._unsent += frames
        self._heard(job)
        return len(self._unsent) < _CHUNK

    def fail(self, job: str, error: Exception) -> None:
        """Answer that there is no such job; or do without one that was deleted meanwhile."""
        if self._unsent is None:
            self._left -= 1
            self._write(b"")
        elif not isinstance(error, KeyError):
            self._refuse(
                Problem(Kind.UNAVAILABLE, "Try again later.", headers={"Retry-After": "1"})
            )
        elif len(self._numbers) == 1 or self._numbers[job] < 0:
            self._refuse(Problem(Kind.JOB_UNKNOWN, "It may have been deleted since.", {"job": job}))
        else:
            self._left -= 1
            self._heard(job)

    def _heard(self, job: str) -> None:
        if self._unheard is not None and self._joined is not None:
            self._unheard.discard(job)
            if not self._unheard and not self._joined.done():
                self._joined.set_result(None)

    def _refuse(self, problem: Problem) -> None:
        if self._joined is not None and not self._joined.done():
            self._joined.set_exception(problem)

    def _frames(self, job: str, news: News) -> Iterator[bytes]:
        for event, text in zip(news.events, news.texts, strict=True):
            self._numbers[job] = event.number
            yield b"id: %b\ndata: %b\n\n" % (write_position(self._numbers.values()), text)

    # As a stream.

    def beat(self) -> None:
        """Send a comment."""
        if self._left:
            self.put(_body(b": \n\n"))

    def leave(self, milliseconds: int) -> None:
        """End, and have the client come again."""
        if self._left:
            self._left = 0
            for following in self._followings:
                following.stop()
            self.put(_body(b"retry: %d\n\n" % milliseconds, more=False))

    def drop(self) -> None:
        """End at once, though the client does not read."""
        self._dropped = True
        if self._main is not None:
            self._main.cancel()

    @override
    def on_room(self) -> None:
        for following in self._followings:
            following.resume()

    def _write(self, data: bytes) -> bool:
        if self._left == 0:
            self._streams.end_later(self._end)
        chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
        return self.put(*map(_body, chunks)) if chunks else True

    def _end(self) -> None:
        self.put(_body(b"", more=False))


def _unavailable() -> Problem:
    return Problem(Kind.UNAVAILABLE, "Try again later.", headers={"Retry-After": "1"})


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
