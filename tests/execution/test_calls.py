"""Calls over the socket of a run: the queue, what goes wrong, and who is no longer there."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from onecopy.errors import Busy, JobFailed, NoWorker, ResultTimeout
from onecopy.execution.calls import BACKLOG, Answer, Caller, Question, listen, socket_name
from onecopy.execution.ports import Call
from onecopy.jobs import Failure
from onecopy.server.job_calls import CallTaker

CALL = Call("work", "default", '{"text":"caf\u00e9"}', 20.0)


class Worker:
    """Takes calls as a job worker does; holds them until `go` is set."""

    def __init__(self, places: int = 1, known: str = "work") -> None:
        self.places = places
        self.known = known
        self.running = 0
        self.ran: list[str] = []
        self.cancelled = 0
        self.go = asyncio.Event()
        self.go.set()
        self.answer = Answer(Raw(b'"done"'))

    async def run(self, question: Question) -> Answer:
        if question.task != self.known:
            return Answer(unknown=True)
        self.running += 1
        self.ran.append(bytes(question.arguments).decode())
        try:
            await self.go.wait()
            return self.answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
            asyncio.get_running_loop().call_soon(self.taker.room)

    @contextlib.asynccontextmanager
    async def serving(self, folder: Path, pid: int = 1) -> AsyncGenerator["Worker"]:
        with listen(str(folder), socket_name(pid)) as listener:
            self.taker = CallTaker(
                listener.fileno(),
                lambda: self.running + self.taker.coming < self.places,
                self.run,
                lambda: self.taker.room(),
            )
            self.taker.room()
            try:
                yield self
            finally:
                self.taker.stop()
                self.go.set()
                await asyncio.gather(*self.taker.answering, return_exceptions=True)
                self.taker.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(limited())


async def until(found: Any) -> None:  # noqa: ANN401  whatever is asked
    while not found():  # noqa: ASYNC110  nothing tells it
        await asyncio.sleep(0.005)


def silent(folder: Path, pid: int = 1) -> socket.socket:
    """Return a connection to a worker that says nothing yet."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(folder / socket_name(pid)))
    return sock


def test_a_call_is_run_and_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            caller = Caller(str(tmp_path))
            assert await caller.call(CALL) == '"done"'
            assert worker.ran == ['{"text":"caf\u00e9"}']
            worker.answer = Answer(failure=Failure("ValueError", "no"))
            with pytest.raises(JobFailed, match="ValueError: no"):
                await caller.call(CALL)

    run(scenario())


def test_a_folder_may_have_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()

    async def scenario() -> None:
        async with Worker().serving(folder):
            assert await Caller(str(folder)).call(CALL) == '"done"'

    run(scenario())


def test_much_goes_both_ways(tmp_path: Path) -> None:
    text = '"' + "x" * 5_000_000 + '"'

    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            worker.answer = Answer(Raw(text.encode()))
            call = Call("work", "default", f'{{"text":{text}}}', 20.0)
            assert await Caller(str(tmp_path)).call(call) == text
            assert worker.ran == [call.arguments]

    run(scenario())


def test_calls_wait_in_line_and_too_many_are_told_that_all_are_busy(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            worker.go.clear()
            caller = Caller(str(tmp_path))
            first = asyncio.create_task(caller.call(CALL))
            await until(lambda: worker.running)
            # One more than its bound is what the kernel lets wait.
            waiting = [asyncio.create_task(caller.call(CALL)) for _ in range(BACKLOG + 1)]
            await asyncio.sleep(0)
            for _ in range(3):
                with pytest.raises(Busy, match="'work'"):
                    await caller.call(CALL)
            worker.go.set()
            assert {await each for each in (first, *waiting)} == {'"done"'}
            assert len(worker.ran) == BACKLOG + 2

    run(scenario())


def test_who_has_given_up_in_line_is_not_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            worker.go.clear()
            caller = Caller(str(tmp_path))
            first = asyncio.create_task(caller.call(CALL))
            await until(lambda: worker.running)
            late = Call("work", "default", '{"text":"too late"}', 0.05)
            with pytest.raises(ResultTimeout, match=r"0\.05 s"):
                await caller.call(late)
            worker.go.set()
            await first
            await caller.call(CALL)
            assert late.arguments not in worker.ran

    run(scenario())


def test_a_call_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            worker.go.clear()
            caller = Caller(str(tmp_path))
            calling = asyncio.create_task(caller.call(CALL))
            await until(lambda: worker.running)
            calling.cancel()
            await until(lambda: worker.cancelled)
            worker.go.set()
            assert await caller.call(CALL) == '"done"'

    run(scenario())


def test_a_task_that_is_not_known_here_may_be_known_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Worker(known="other").serving(tmp_path, 1) as wrong,
            Worker().serving(tmp_path, 2) as right,
        ):
            caller = Caller(str(tmp_path))
            for _ in range(3):
                assert await caller.call(CALL) == '"done"'
            assert (len(wrong.ran), len(right.ran)) == (0, 3)
            with pytest.raises(NoWorker, match="'nothing'"):
                await caller.call(Call("nothing", "default", "{}", 20.0))

    run(scenario())


def test_who_is_gone_takes_no_calls(tmp_path: Path) -> None:
    async def scenario() -> None:
        caller = Caller(str(tmp_path))
        with pytest.raises(NoWorker):
            await Caller(str(tmp_path / "no such folder")).call(CALL)
        async with Worker().serving(tmp_path):
            await caller.call(CALL)
        # Its socket lies there still, and refuses.
        assert os.listdir(tmp_path) == [socket_name(1)]
        with pytest.raises(NoWorker):
            await caller.call(CALL)
        async with Worker().serving(tmp_path, 2):
            assert await caller.call(CALL) == '"done"'

    run(scenario())


def test_a_run_that_ends_before_it_takes_a_call_has_not_taken_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        listener = listen(str(tmp_path), socket_name(1))
        calling = asyncio.create_task(Caller(str(tmp_path)).call(CALL))
        await asyncio.sleep(0.05)
        listener.close()
        with pytest.raises(NoWorker):
            await calling

    run(scenario())


def test_a_worker_that_dies_of_a_call_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        with listen(str(tmp_path), socket_name(1)) as listener:
            calling = asyncio.create_task(Caller(str(tmp_path)).call(CALL))
            await asyncio.sleep(0)
            sock, _ = listener.accept()
            sock.recv(1000)
            sock.close()
            with pytest.raises(JobFailed, match="WorkerLost"):
                await calling

    run(scenario())


@pytest.mark.parametrize("said", [b"", b"x", b"no question\n", b"{}\n", b"\xff\n", b"[" * 70_000])
def test_who_says_nothing_sensible_takes_no_place_for_long(tmp_path: Path, said: bytes) -> None:
    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            with silent(tmp_path) as sock:
                await asyncio.get_running_loop().run_in_executor(None, sock.sendall, said)
                if not said.endswith(b"\n"):
                    await until(lambda: worker.taker.coming)
            assert await Caller(str(tmp_path)).call(CALL) == '"done"'
            assert worker.taker.coming == 0

    run(scenario())


def test_who_says_nothing_has_a_moment_to_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onecopy.server.job_calls._READ", 0.1)

    async def scenario() -> None:
        async with Worker().serving(tmp_path) as worker:
            with silent(tmp_path):
                await until(lambda: worker.taker.coming)
                assert await Caller(str(tmp_path)).call(CALL) == '"done"'

    run(scenario())
