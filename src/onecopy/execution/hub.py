"""Tells all who follow jobs in one process and event loop.

One subscription to the engine, and one query for all jobs that have changed, serve every listener:
to listen costs neither a thread nor a query. The events of a slow listener wait in the store: it is
told no more until it has room, and then gets a page of its own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from onecopy.engines import Ended
from onecopy.execution.events import Listener, News
from onecopy.execution.places import Groups, Place, Places
from onecopy.jobs import Event, Job
from onecopy.stores import Unavailable

_PAGE: Final = 1000
"""Events that one query returns; the rest comes with the next."""
_JOBS_AT_ONCE: Final = 250
"""Jobs that one query asks for."""
LOOK_AGAIN: Final = 1.0
"""Seconds after which the store is asked about a job, in case that a word of it was lost."""
_QUERIES_UNTIL_THEN: Final = 4
"""Such queries in that time: where more jobs are followed, each waits for its turn."""
_RETRY: Final = 0.5
"""Seconds until the store, or the engine, is tried again."""
_LINGER: Final = 10.0
"""Seconds for which changes are heard of when nobody follows a job any more."""
_MOST_FRESH: Final = 1000
"""Jobs that are known to be as they were accepted; those before need a look."""
_TOLD_AT_ONCE: Final = 200
"""Listeners that are told before the event loop does something else."""

_logger = logging.getLogger("onecopy.events")


class _Page:
    """Events by job. cut: there are more, of whichever jobs."""

    def __init__(self, events: list[Event]) -> None:
        self.cut = len(events) >= _PAGE
        self.events: dict[str, list[Event]] = {}
        for event in events:
            self.events.setdefault(event.job, []).append(event)

    def ends(self) -> dict[str, Event]:
        """Return the last events that have ended their jobs."""
        last = {job: events[-1] for job, events in self.events.items() if events[-1].final}
        if self.cut:
            # Whether it is the last is not known: it is left to the next page.
            for job in last:
                del self.events[job][-1]
            return {}
        return last


def _without_ended(groups: Groups) -> Groups:
    left = {job: [each for each in group if each.state != "ended"] for job, group in groups.items()}
    return {job: group for job, group in left.items() if group}


class Source(Protocol):
    """What the hub needs of a store."""

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        """Return events, as `Store.events`."""
        ...

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return jobs, as `Store.get`."""
        ...


class Hub:
    """Tells listeners what happens to their jobs."""

    def __init__(
        self,
        store: Source,
        changes: Callable[[], AsyncIterator[str]],
        *,
        look_again: float = LOOK_AGAIN,
        linger: float = _LINGER,
    ) -> None:
        """Take a store, and what follows changes: `Engine.changes`.

        look_again: seconds after which the store is asked about a job of which nothing was heard.
        linger: seconds for which changes are heard of when nobody follows a job any more.
        """
        self._store = store
        self._changes = changes
        self._patience = look_again
        self._pace = look_again / _QUERIES_UNTIL_THEN
        self._linger = linger
        self._places = Places()
        self._news: set[str] = set()
        self._behind: Groups = {}
        self._hears = False
        """Whether changes are heard of: a word has come, and the engine has not failed since."""
        self._fresh: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._looked_again_at = 0.0
        self._work: list[asyncio.Task[None]] = []

    # Who listens.

    def follow(self, job: str, after: int, listener: Listener) -> Place:
        """Tell a listener the events of a job with numbers over one, until the job has ended.

        A number that the job has not come to yet counts as its last. Who was told of the end is
        told no more, whatever happens to the job then.
        """
        place = Place(self, job, after, listener, end_only=False)
        self._places.add(place, self._now())
        self.catch_up(place)
        self._ensure_work()
        return place

    def follow_end(self, job: str, listener: Listener) -> Place:
        """Tell a listener nothing but the end of a job, if that is to come.

        So one who looks at the job after this call, and waits unless it is final, misses no end.
        """
        if not self._places:
            self._wake.set()  # so that it is looked at again from now on
        place = Place(self, job, 0, listener, end_only=True)
        self._places.add(place, self._now())
        self._ensure_work()
        return place

    def expect(self, jobs: Iterable[str]) -> None:
        """Note jobs that are about to be accepted: whatever happens to them is yet to be heard."""
        if self._hears:
            self._fresh.update(dict.fromkeys(jobs))
            while len(self._fresh) > _MOST_FRESH:
                del self._fresh[next(iter(self._fresh))]

    def is_fresh(self, job: str) -> bool:
        """Whether nothing was heard of a job since it was expected; to be asked once."""
        if job not in self._fresh:
            return False
        del self._fresh[job]
        return True

    def catch_up(self, place: Place) -> None:
        """Give a listener a page of its own in the next round."""
        place.state = "behind"
        self._behind.setdefault(place.job, []).append(place)
        self._wake.set()

    def leave(self, place: Place) -> None:
        """Tell a listener no more."""
        place.state = "ended"
        self._places.discard(place)
        if not self._places:
            self._wake.set()

    async def close(self) -> None:
        """Let go, and say so to all who listen."""
        work, self._work = self._work, []
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for place in self._places:
            self._fail(place, Unavailable("the store was closed meanwhile"))

    # When to look.

    def _ensure_work(self) -> None:
        if not self._work:
            create = asyncio.get_running_loop().create_task
            self._work = [
                create(self._go_round(), name="onecopy: events"),
                create(self._listen(), name="onecopy: changes"),
            ]

    async def _listen(self) -> None:
        while True:
            try:
                async for job in self._changes():
                    self._hears = True
                    self._fresh.pop(job, None)
                    if job in self._places:
                        self._hear(job)
            except Exception as error:
                # Without it every look is late, which is no reason to fail.
                _logger.warning("changes of jobs are not heard of: %s", error)
            self._deaf()
            await asyncio.sleep(_RETRY)

    def _hear(self, job: str) -> None:
        if isinstance(job, Ended):
            self._tell_end(job.job)
        if job in self._places:
            self._news.add(str(job))
            self._wake.set()

    def _tell_end(self, job: Job) -> None:
        """Tell those who wait for nothing else: they need not look."""
        news = News([], over=True, job=job)
        for place in self._places.live([job.id]).get(job.id, ()):
            # Where it is not known yet how the job was, this may be an end before that.
            if place.end_only and place.seen and job.version > place.number:
                self._tell(place, news, job.version, cut=False)

    async def _go_round(self) -> None:
        while await self._until_due():
            try:
                await self._look_at_news()
                await self._look_at_behind()
                await self._look_again()
            except Unavailable as error:
                _logger.warning("events wait for the store: %s", error)
                await asyncio.sleep(_RETRY)
            except Exception:
                _logger.exception("events cannot be told")
                await asyncio.sleep(_RETRY)

    async def _until_due(self) -> bool:
        """Wait until there is something to look at; return False if nobody follows any more."""
        while not self._news and not self._behind:
            self._wake.clear()
            try:
                async with asyncio.timeout_at(self._again_at()):
                    await self._wake.wait()
            except TimeoutError:
                if not self._places:
                    self._rest()
                return bool(self._places)
        return True

    def _again_at(self) -> float:
        looked_at = self._places.first_look()
        if looked_at is None:
            return self._now() + self._linger
        return max(looked_at + self._patience, self._looked_again_at + self._pace)

    def _deaf(self) -> None:
        self._hears = False
        self._fresh.clear()

    def _rest(self) -> None:
        """Hear of nothing until somebody follows a job again."""
        self._deaf()
        for task in self._work[1:]:
            task.cancel()
        self._work = []

    async def _look_at_news(self) -> None:
        """Look at jobs that are said to have changed."""
        news = [self._news.pop() for _ in range(min(len(self._news), _JOBS_AT_ONCE))]
        try:
            groups = self._places.live(news)
            ends = {job for job, group in groups.items() if all(each.end_only for each in group)}
            await self._look({job: groups[job] for job in groups if job not in ends})
            await self._look_for_ends({job: groups[job] for job in ends})
        except BaseException:
            self._news.update(news)
            raise

    async def _look_at_behind(self) -> None:
        """Look for who came just now, or has room again."""
        jobs = [job for job, _ in zip(self._behind, range(_JOBS_AT_ONCE), strict=False)]
        groups = {job: self._behind.pop(job) for job in jobs}
        try:
            await self._look(_without_ended(groups), carefully=True)
        except BaseException:
            for job, group in groups.items():
                self._behind.setdefault(job, []).extend(group)
            raise

    async def _look_again(self) -> None:
        """Look at jobs of which nothing was heard: a few at a time, however many are followed."""
        now = self._now()
        if now < self._looked_again_at + self._pace:
            return
        self._looked_again_at = now
        old = self._places.not_since(now - self._patience, _JOBS_AT_ONCE)
        await self._look(self._places.live(old), carefully=True)
        for job in old:
            self._places.looked_at(job, now)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # What is seen, and told.

    async def _look(self, groups: Groups, *, carefully: bool = False) -> None:
        """Ask for what each group has not been told, and tell it.

        carefully: ask for the event too that it was told last, by which the job is known to exist.
        """
        if not groups:
            return
        after = {job: min(place.number for place in group) for job, group in groups.items()}
        if carefully:
            after = {job: max(-1, number - 1) for job, number in after.items()}
        page = _Page(await self._store.events(after, limit=_PAGE))
        over = await self._over(page.ends(), groups)
        if carefully and not page.cut:
            await self._find({job: groups[job] for job in groups if job not in page.events})
        for job, group in groups.items():
            self._places.looked_at(job, self._now())
            events = page.events.get(job)
            if events:
                await self._tell_all(group, events, over, cut=page.cut)
            elif page.cut:
                self._catch_up_all(group)

    async def _look_for_ends(self, groups: Groups) -> None:
        """Look at jobs that are waited for only."""
        found = {job.id: job for job in await self._store.get([*groups])} if groups else {}
        for job, group in groups.items():
            known = found.get(job)
            for place in group:
                if known is None:
                    self._fail(place, KeyError(job))
                else:
                    news = News([], over=known.final, job=known)
                    self._tell(place, news, known.version, cut=False)

    async def _over(self, ends: dict[str, Event], groups: Groups) -> dict[str, Job | None]:
        """Return the jobs that are over, as they are; None where nobody has to be told so."""
        untold = [
            job
            for job, event in ends.items()
            if any(place.number < event.number for place in groups[job])
        ]
        found = {job.id: job for job in await self._store.get(untold)} if untold else {}
        # One that was queued again meanwhile is not over: its next events are on their way.
        goes_on = {job.id for job in found.values() if job.version != ends[job.id].number}
        self._news |= goes_on
        return {job: found.get(job) for job in ends if job not in goes_on}

    async def _find(self, groups: Groups) -> None:
        """Look for jobs without the events that were told last: gone, or never so far."""
        found = {job.id: job for job in await self._store.get([*groups])} if groups else {}
        for job, group in groups.items():
            for place in group:
                if job in found:
                    place.number = min(place.number, found[job].version)
                else:
                    self._fail(place, KeyError(job))
            self._catch_up_all(group)

    def _catch_up_all(self, group: Iterable[Place]) -> None:
        for place in group:
            if place.state != "ended":
                self.catch_up(place)

    async def _tell_all(
        self, group: list[Place], events: list[Event], over: dict[str, Job | None], *, cut: bool
    ) -> None:
        job = events[0].job
        by_number: dict[int, News] = {}
        for count, place in enumerate(group, 1):
            if place.state in ("behind", "live"):
                news = by_number.get(place.number)
                if news is None:
                    new = [event for event in events if event.number > place.number]
                    news = News(new, over=job in over, job=over.get(job))
                    by_number[place.number] = news
                self._tell(place, news, events[-1].number, cut=cut)
            if count % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _tell(self, place: Place, news: News, number: int, *, cut: bool) -> None:
        # What is cut may end before the place of one who has come farther.
        place.number = max(place.number, number) if cut else number
        room = True
        if news.events or news.over or place.state == "behind":
            try:
                room = place.listener.tell(place.job, news)
            except Exception:
                _logger.exception("a listener to job %s failed", place.job)
                self.leave(place)
        if place.state == "ended":
            return
        if news.over:
            self.leave(place)
        elif not room:
            place.state = "full"
        elif cut:
            self.catch_up(place)
        else:
            place.state = "live"

    def _fail(self, place: Place, error: Exception) -> None:
        if place.state != "ended":
            self.leave(place)
            place.listener.fail(place.job, error)
