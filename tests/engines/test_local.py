import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from onecopy.engines.local import LocalEngine, bell_name, listen
from onecopy.testing import EngineContract
from onecopy.testing._engines import LONG, Connect, Follower, due_job, opened, ring_until, until

QUEUES = ["default"]


class TestLocalEngine(EngineContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        return lambda: LocalEngine(str(tmp_path))


class TestLocalEngineInALongFolder(EngineContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        folder = tmp_path / ("x" * 200) / ("y" * 200)
        folder.mkdir(parents=True)
        return lambda: LocalEngine(str(folder))


def test_each_ring_wakes_exactly_one_worker_of_a_run(tmp_path: Path) -> None:
    with listen(str(tmp_path / bell_name(1))) as bell:

        async def scenario() -> None:
            def worker() -> LocalEngine:
                return LocalEngine(str(tmp_path), bell=bell.fileno())

            async with opened(worker, 3) as engines:
                waits = [asyncio.create_task(each.wait_for_ring(QUEUES, LONG)) for each in engines]
                for rung in (1, 2, 3):
                    await asyncio.sleep(0.05)
                    assert sum(wait.done() for wait in waits) == rung - 1
                    await engines[0].ring([due_job()])
                    await until(lambda rung=rung: sum(wait.done() for wait in waits) >= rung)

        asyncio.run(scenario())


def test_a_ring_before_the_wait_is_kept(tmp_path: Path) -> None:
    with listen(str(tmp_path / bell_name(1))) as bell:

        async def scenario() -> None:
            engine = LocalEngine(str(tmp_path), bell=bell.fileno())
            await engine.open()
            await engine.ring([due_job()])
            assert await engine.wait_for_ring(QUEUES, LONG) is not None
            assert await engine.wait_for_ring(QUEUES, 0.05) is None
            await engine.close()

        asyncio.run(scenario())


def test_more_rings_than_the_bell_holds_wait_for_nobody(tmp_path: Path) -> None:
    with listen(str(tmp_path / bell_name(1))) as bell:

        async def scenario() -> None:
            engine = LocalEngine(str(tmp_path), bell=bell.fileno())
            await engine.open()
            began = time.monotonic()
            await engine.ring([due_job()] * 1_000_000)
            assert time.monotonic() - began < 2
            assert await engine.wait_for_ring(QUEUES, LONG) is not None
            await engine.close()

        asyncio.run(scenario())


def test_sockets_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    for name in (bell_name(1), "ear-1-2-3.sock"):
        listen(str(tmp_path / name)).close()

    async def scenario() -> None:
        engine = LocalEngine(str(tmp_path))
        await engine.open()
        await engine.ring([due_job()])
        await engine.tell(["job"])
        await engine.close()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


def _modes(folder: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()]


def test_sockets_are_for_this_user_only_and_taken_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(lambda: LocalEngine(str(tmp_path)), 2) as (one, other):
            follower = Follower(one)
            await follower.hear(other, "job")
            waiting = asyncio.create_task(one.wait_for_ring(QUEUES, LONG))
            await ring_until(other, waiting)
            assert _modes(tmp_path) == [0o600, 0o600]
            await follower.stop()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


def test_a_bell_that_is_hung_up_in_the_same_tick_of_the_clock_rings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(lambda: LocalEngine(str(tmp_path)), 1) as (web,):
            for number in range(30):
                with listen(str(tmp_path / bell_name(number))) as bell:
                    bell.setblocking(False)
                    # As if the clock had not ticked since the folder was listed.
                    os.utime(tmp_path, ns=(stamp := time.time_ns(), stamp))
                    await web.ring([due_job()])
                    assert bell.recv(100) == b"default"
                    second = str(tmp_path / bell_name(1000 + number))
                    with listen(second) as other:
                        other.setblocking(False)
                        os.utime(tmp_path, ns=(stamp, stamp))
                        await web.ring([due_job()])
                        assert other.recv(100) == b"default"

    asyncio.run(scenario())


def test_no_folder(tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = LocalEngine(str(tmp_path / "none"))
        with pytest.raises(OSError, match="none"):
            await engine.open()
        folder = tmp_path / "soon gone"
        folder.mkdir()
        engine = LocalEngine(str(folder))
        await engine.open()
        folder.rmdir()
        await engine.ring([due_job()])
        await engine.tell(["job"])
        await engine.close()

    asyncio.run(scenario())
