"""The Engine protocol, in words of jobs; `onecopy.testing.EngineContract` is its proof.

An engine may lose what it carries, or carry it twice: a worker claims in the store whatever it was
told, and looks there by itself now and then for what nobody was told of. So no method here waits
for a server that is away, and none fails because nobody listens.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol, Self

from onecopy.jobs import Job


class Rung(NamedTuple):
    """A job that a ring has named, and its task."""

    job: str
    task: str


class Ended(str):
    """The id of a job that has ended, and the job as it is then: nobody needs to ask for it."""

    __slots__ = ("job",)
    job: Job

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the id of a job, with the job."""
        ended = cls(job.id)
        ended.job = job
        return ended


class Engine(Protocol):
    """Wakes workers when there is work, and waiters when a job has changed."""

    @property
    def names_jobs(self) -> bool:
        """Whether its rings name jobs: a message for each, that a worker claims before others."""
        ...

    async def open(self) -> None:
        """Connect; called once in each process and event loop that uses it."""
        ...

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        ...

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Wake waiting workers, as many as there are, for these jobs that are due."""
        ...

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Wait until a ring for one of these queues, or so long; None if nobody rang.

        Returns the jobs that were named, so many at most; none where rings name no jobs. A wait
        that is cancelled loses no ring.
        """
        ...

    async def claimed(self) -> None:
        """Hear that what the last wait returned was claimed, or is another's: rings no more."""
        ...

    async def tell(self, jobs: Sequence[str]) -> None:
        """Tell all who follow changes that jobs have changed."""
        ...

    def changes(self) -> AsyncIterator[str]:
        """Follow changes: the ids of jobs that changed in any process, from now on.

        An id may be an `Ended`.
        """
        ...
