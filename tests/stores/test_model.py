"""Random calls: the SQLite store answers as the pure state machine does."""

import itertools
from pathlib import Path

import pytest

from onecopy.jobs import Change, Job
from onecopy.stores.memory import MemoryStore
from onecopy.stores.sqlite import SQLiteStore
from onecopy.testing.store_model import check_against_model


def test_sqlite(tmp_path: Path) -> None:
    numbers = itertools.count()
    check_against_model(lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db", synchronous="normal"))


def test_a_store_that_forgets_a_change_is_found_out() -> None:
    class Forgetful(MemoryStore):
        async def change(self, job: str, change: Change, *, now: float) -> Job:
            found = await self.get([job])
            after = await super().change(job, change, now=now)
            if after.status == "cancelled":
                self._jobs[job] = found[0]
            return after

    with pytest.raises(AssertionError):
        check_against_model(Forgetful, examples=300, shrink=False)
