"""How long jobs wait, as it is told to those who ask when to come again."""

import asyncio

import pytest

from onecopy.execution import queue_times
from onecopy.execution.queue_times import QueueTimes
from onecopy.stores import Stats, Unavailable
from onecopy.stores.memory import MemoryStore


class Measured(MemoryStore):
    """Says what a test wants, when the test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.wait: float | None = 3.0
        self.away = False
        self.answers = asyncio.Event()

    async def stats(self) -> list[Stats]:
        self.looks += 1
        await self.answers.wait()
        if self.away:
            raise Unavailable("away")
        return [_stats("default", 1.0), _stats("default", self.wait), _stats("idle", None)]


def _stats(queue: str, wait: float | None) -> Stats:
    return Stats(queue=queue, task=f"{wait}", counts={}, wait=wait, run=None, oldest=None)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_nobody_waits_for_the_store_and_many_cost_one_look() -> None:
    async def scenario() -> None:
        store = Measured()
        times = QueueTimes(store)
        assert [times.of("default") for _ in range(100)] == [None] * 100
        await _settle()
        assert store.looks == 1
        store.answers.set()
        await _settle()
        assert times.of("default") == 3.0, "of several tasks the one that waits longest"
        assert times.of("idle") is None
        assert times.of("unknown") is None
        assert store.looks == 1
        await times.close()

    asyncio.run(scenario())


def test_it_is_measured_again_and_a_store_that_is_away_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_times, "_LOOK_AGAIN", 0.0)

    async def scenario() -> None:
        store = Measured()
        store.answers.set()
        times = QueueTimes(store)
        times.of("default")
        await _settle()
        store.wait, store.away = 7.0, True
        assert times.of("default") == 3.0
        await _settle()
        store.away = False
        assert times.of("default") == 3.0
        await _settle()
        assert times.of("default") == 7.0
        await times.close()

    asyncio.run(scenario())


def test_a_look_that_is_under_way_ends_with_the_runtime() -> None:
    async def scenario() -> None:
        times = QueueTimes(Measured())
        times.of("default")
        await _settle()
        await times.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
