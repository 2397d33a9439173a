"""Random calls: the SQLite store answers as the pure state machine does."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from onecopy.jobs import Change, Job, NotAllowed
from onecopy.stores.memory import MemoryStore
from onecopy.stores.sqlite import SQLiteStore
from onecopy.testing.store_model import check_against_model


def test_sqlite(tmp_path: Path) -> None:
    numbers = itertools.count()
    check_against_model(lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db", synchronous="normal"))


def test_a_store_that_forgets_a_change_is_found_out() -> None:
    class Forgetful(MemoryStore):
        async def change(
            self, changes: Sequence[tuple[str, Change]], *, now: float
        ) -> list[Job | KeyError | NotAllowed]:
            before = {job.id: job for job in await self.get([job for job, _ in changes])}
            answers = await super().change(changes, now=now)
            for after in answers:
                if isinstance(after, Job) and after.status == "cancelled":
                    self._jobs[after.id] = before[after.id]
            return answers

    with pytest.raises(AssertionError):
        check_against_model(Forgetful, examples=300, shrink=False)
