"""Fills the disk of a store with jobs, until it takes no more."""

import asyncio

from onecopy.jobs import Job
from onecopy.stores import Store, Unavailable
from onecopy.testing._stores.jobs import ids_of, make_job


class Filling:
    """Jobs that were accepted, and what was said of those that were not, by their ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.accepted: list[str] = []
        self.refused: dict[str, str] = {}

    async def until_it_is_full(self) -> None:
        """Have many accept at a time, until some are refused."""
        while not self.refused:
            jobs = [make_job(arguments=f'"{"x" * 3000}"') for _ in range(20)]
            await asyncio.gather(*(self.accept(job) for job in jobs))

    async def accept(self, job: Job) -> None:
        """Have a job accepted, or refused."""
        try:
            self.accepted += ids_of(await self._store.accept([job]))
        except Unavailable as error:
            self.refused[job.id] = str(error)

    async def must_be_right(self) -> None:
        """See that what is answered is there, and what is refused is not."""
        found = await self._store.get([*self.accepted, *self.refused])
        assert sorted(ids_of(found)) == sorted(self.accepted)

    async def must_be_kept(self) -> None:
        """See that what is answered is there."""
        assert len(await self._store.get(self.accepted)) == len(self.accepted)

    def must_all_say(self, words: str) -> None:
        """See that whoever was refused was told so."""
        assert all(words in said for said in self.refused.values()), self.refused
