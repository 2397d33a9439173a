"""Rings and waits whose connections are cut, late or silent, in the middle of what is said."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onecopy.engines import Engine, Rung
from onecopy.engines.local import LocalEngine
from onecopy.engines.urls import open_engine
from onecopy.testing._engines import due_job, opened, run, until
from tests.ways import HARMS, Way

SOON = 10.0
"""Seconds that nobody waits for who lets go of an engine, whatever has become of its server."""
CONFIRMED = {"rabbitmq", "kafka"}
"""Engines that know of each ring whether the broker has it."""


@pytest.fixture
def connect(way: Way, tmp_path: Path) -> Callable[[], Engine]:
    return lambda: open_engine(way.url, LocalEngine(str(tmp_path)), str(tmp_path))


class Talk:
    """One rings and another one waits, again and again."""

    def __init__(self, web: Engine, worker: Engine) -> None:
        self._web, self._worker = web, worker
        self.rung: set[Rung] = set()
        self.named: set[Rung] = set()
        self.heard = 0
        self.slowest = 0.0
        self._ringing = asyncio.create_task(self._ring())
        self._waiting = asyncio.create_task(self._wait())

    async def _ring(self) -> None:
        while True:
            job = due_job()
            self.rung.add(Rung(job.id, job.task))
            began = time.monotonic()
            await self._web.ring([job])
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(0.02)

    async def _wait(self) -> None:
        while True:
            named = await self._worker.wait_for_ring(["default"], 0.5, limit=8)
            if named is not None:
                self.heard += 1
                self.named.update(named)
                await self._worker.claimed()

    async def go_on(self, times: int = 3) -> None:
        """Wait until so many more rings are heard."""
        enough = self.heard + times
        await until(lambda: self.heard >= enough)

    async def hush(self) -> None:
        """Ring no more."""
        self._ringing.cancel()
        await asyncio.gather(self._ringing, return_exceptions=True)

    async def end(self) -> None:
        """Wait no more, either."""
        await self.hush()
        assert not self._waiting.done(), self._waiting
        self._waiting.cancel()
        await asyncio.gather(self._waiting, return_exceptions=True)


@pytest.mark.parametrize("harm", HARMS)
def test_rings_are_heard_again_by_themselves(
    way: Way, harm: str, connect: Callable[[], Engine]
) -> None:
    async def scenario() -> None:
        async with opened(connect, 2) as (web, worker):
            talk = Talk(web, worker)
            await talk.go_on()
            for _ in range(2):
                await until(way.harm(harm))
                way.heal()
            await talk.go_on()
            await talk.hush()
            if way.engine in CONFIRMED:
                await until(lambda: talk.named == talk.rung)
            assert talk.named <= talk.rung
            assert talk.slowest < 1
            await talk.end()
            began = time.monotonic()
        assert time.monotonic() - began < SOON

    run(scenario)


def test_a_server_that_says_nothing_keeps_nobody_waiting(
    way: Way, connect: Callable[[], Engine]
) -> None:
    async def scenario() -> None:
        web, worker = connect(), connect()
        await asyncio.gather(web.open(), worker.open())
        talk = Talk(web, worker)
        await talk.go_on()
        await talk.end()
        way.proxy.delay = 60.0
        began = time.monotonic()
        await web.ring([due_job() for _ in range(100)])
        assert time.monotonic() - began < 1
        for _ in range(3):  # What was on its way already may be heard.
            await worker.wait_for_ring(["default"], 0.1)
            await worker.claimed()
        assert time.monotonic() - began < 3
        began = time.monotonic()
        await asyncio.gather(web.close(), worker.close())
        assert time.monotonic() - began < SOON

    try:
        run(scenario)
    finally:
        way.heal()
        way.proxy.cut()
