"""What happens to jobs, and who listens."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol

from onecopy.jobs import Event, Job
from onecopy.representation import write_event

_ROOM: Final = 4
"""Portions of news that wait for one who iterates."""


class News:
    """What a listener has not been told yet: events in order; none, if nothing has happened.

    over: the job has ended, and nothing will follow. job: as it is then; None if it is deleted
    already, or if no event is new.
    """

    __slots__ = ("_texts", "events", "job", "over")

    def __init__(self, events: list[Event], *, over: bool = False, job: Job | None = None) -> None:
        self.events = events
        self.over = over
        self.job = job
        self._texts: list[bytes] | None = None

    @property
    def texts(self) -> list[bytes]:
        """The events as JSON on the wire, written once for all listeners."""
        if self._texts is None:
            self._texts = [write_event(event, self.job) for event in self.events]
        return self._texts


class Listener(Protocol):
    """Is told what happens to jobs, on the event loop. Neither method may wait."""

    def tell(self, job: str, news: News) -> bool:
        """Take news; return whether there is room for more. If not: `Following.resume`, later.

        The first come at once, empty if nothing has happened.
        """
        ...

    def fail(self, job: str, error: Exception) -> None:
        """Learn that nothing more will be told: KeyError, there is no such job; Unavailable."""
        ...


class Following(Protocol):
    """A listener's place in the events of one job."""

    def resume(self) -> None:
        """Be told again, after there was no room."""
        ...

    def stop(self) -> None:
        """Be told no more."""
        ...


type Follow = Callable[[str, int, Listener], Following]
"""Tells a listener the events of a job with numbers over one: `Hub.follow`."""


class _Portions:
    """A listener that keeps what it is told until somebody takes it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[News | Exception] = asyncio.Queue()

    def tell(self, job: str, news: News) -> bool:
        self.queue.put_nowait(news)
        return self.queue.qsize() < _ROOM

    def fail(self, job: str, error: Exception) -> None:
        self.queue.put_nowait(error)


async def events_of(follow: Follow, job: str, after: int) -> AsyncGenerator[Event]:
    """Yield the events of a job with numbers over one, as they happen, until the job has ended.

    Raises KeyError for an unknown job, Unavailable if the store is closed meanwhile.
    """
    portions = _Portions()
    following = follow(job, after, portions)
    try:
        while True:
            news = await portions.queue.get()
            if isinstance(news, Exception):
                raise news
            for event in news.events:
                yield event
            if news.over:
                return
            if portions.queue.empty():
                following.resume()
    finally:
        following.stop()


class End:
    """A listener that waits for the end of a job."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()

    def tell(self, job: str, news: News) -> bool:
        """Take the job once it has ended."""
        if not news.over or self.future.done():
            return True
        if news.job is None:
            self.future.set_exception(KeyError(job))
        else:
            self.future.set_result(news.job)
        return True

    def fail(self, job: str, error: Exception) -> None:
        """End the wait."""
        if not self.future.done():
            self.future.set_exception(error)
