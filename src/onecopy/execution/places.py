"""Who follows which jobs, and how far each has been told."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from onecopy.execution.events import Listener

if TYPE_CHECKING:
    from onecopy.execution.hub import Hub


class Place:
    """A listener's place in the events of one job.

    number: of the last event that it was told. end_only: it is told how the job ended, no more.
    state: "behind", it gets a page of its own next; "live", it is told with the others; "full", it
    has no room; "ended". seen: the number is of the job as it was seen, or expected.
    """

    __slots__ = ("_hub", "end_only", "job", "listener", "number", "seen", "state")

    def __init__(
        self, hub: "Hub", job: str, after: int, listener: Listener, *, end_only: bool
    ) -> None:
        self._hub = hub
        self.job = job
        self.listener = listener
        self.number = max(-1, after)
        self.end_only = end_only
        self.seen = False
        self.state: Literal["behind", "live", "full", "ended"] = "live" if end_only else "behind"

    def resume(self) -> None:
        """Be told again, after there was no room."""
        if self.state == "full":
            self._hub.catch_up(self)

    def stop(self) -> None:
        """Be told no more."""
        self._hub.leave(self)


type Groups = dict[str, list[Place]]
"""Places by job."""


class _Followed:
    """A job that is followed. looked_at: when the store was asked about it last."""

    __slots__ = ("looked_at", "places")

    def __init__(self, looked_at: float) -> None:
        self.places: set[Place] = set()
        self.looked_at = looked_at


class Places:
    """All places, by job, and when each job was looked at, by whatever clock.

    Its length is the number of jobs.
    """

    def __init__(self) -> None:
        self._followed: dict[str, _Followed] = {}  # first, what was looked at the longest ago

    def __len__(self) -> int:
        return len(self._followed)

    def __contains__(self, job: str) -> bool:
        return job in self._followed

    def __iter__(self) -> Iterator[Place]:
        for followed in list(self._followed.values()):
            yield from list(followed.places)

    def add(self, place: Place, now: float) -> None:
        """Add a place; a job that is new here counts as looked at."""
        followed = self._followed.get(place.job)
        if followed is None:
            followed = self._followed[place.job] = _Followed(now)
        followed.places.add(place)

    def discard(self, place: Place) -> None:
        """Take a place away."""
        followed = self._followed.get(place.job)
        if followed is not None:
            followed.places.discard(place)
            if not followed.places:
                del self._followed[place.job]

    def live(self, jobs: Iterable[str]) -> Groups:
        """Return the live places of some jobs; only jobs that have any."""
        groups: Groups = {}
        for job in jobs:
            followed = self._followed.get(job)
            live = [each for each in followed.places if each.state == "live"] if followed else []
            if live:
                groups[job] = live
        return groups

    def first_look(self) -> float | None:
        """Return when the job was looked at that was not for the longest time; None without one."""
        first = next(iter(self._followed.values()), None)
        return None if first is None else first.looked_at

    def not_since(self, then: float, limit: int) -> list[str]:
        """Return the first jobs that were not looked at since."""
        old: list[str] = []
        for job, followed in self._followed.items():
            if followed.looked_at > then or len(old) == limit:
                break
            old.append(job)
        return old

    def looked_at(self, job: str, now: float) -> None:
        """Note that a job was looked at."""
        followed = self._followed.pop(job, None)
        if followed is not None:
            followed.looked_at = now
            self._followed[job] = followed
