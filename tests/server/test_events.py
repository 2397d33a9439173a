"""Streams of events while the service is reloaded, stopped, or loses a worker."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from onecopy.engines.local import LocalEngine
from servers.process import free_port
from tests.http.event_source import Browser
from tests.running import DEADLINE, Service, service, wait_until
from tests.server.jobs_app import Jobs

APP = """
import asyncio, os
from fastapi import FastAPI
from onecopy import OneCopy, Progress

shared = OneCopy()
app = FastAPI()
shared.install(app)

@shared.task(retries=1)
async def steps(pause: float, progress: Progress) -> int:
    for number in progress.track(range(20)):
        await asyncio.sleep(pause)
    while not os.path.exists("end"):
        progress.update(20, 20)
        await asyncio.sleep(pause)
    return 20

@shared.task
async def silent() -> None:
    while not os.path.exists("end"):
        await asyncio.sleep(0.05)

for task in (steps, silent):
    app.post("/" + task.name.rpartition(".")[2])(task.endpoint)
"""
KEEP_ALIVE = 1
OPTIONS = (
    *("steps:app", "--workers", "2", "--job-workers", "1", "--no-access-log"),
    *("--timeout-keep-alive", str(KEEP_ALIVE)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(APP)
    return tmp_path


def follow_through(
    folder: Path, count: int, disturb: Callable[[Service], Coroutine[Any, Any, None]]
) -> list[Browser]:
    """Follow a job with many streams, disturb the service, and check that all is told once."""

    async def scenario(run: Service, job: str) -> list[Browser]:
        browsers = [Browser(f"http://127.0.0.1:{run.port}", job) for _ in range(count)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.follow()) for each in browsers]
            while not all(each.told for each in browsers):  # noqa: ASYNC110  they do not say so
                await asyncio.sleep(0.02)
            await disturb(run)
            (folder / "end").touch()
        for told in (each.result() for each in following):
            assert [event["number"] for event in told] == [*range(len(told))]
            assert told[-1]["kind"] == "succeeded", run.log
        return browsers

    with service(folder, *OPTIONS) as run:
        browsers = asyncio.run(scenario(run, Jobs(run).submit("steps", pause=0.05)))
        assert run.stop() == 0
        assert "Traceback" not in run.log
        return browsers


def test_a_reload_has_all_streams_reconnect_and_waits_for_none(folder: Path) -> None:
    async def disturb(run: Service) -> None:
        old = run.pids("web")
        began = time.monotonic()
        run.signal(signal.SIGHUP)
        await asyncio.to_thread(run.wait_for_log, "generation 2 serves")
        await asyncio.to_thread(wait_until, lambda: not set(old) & set(run.pids("web")))
        # The drain waits for idle connections, and for nothing else.
        assert time.monotonic() - began < KEEP_ALIVE + 5

    for browser in follow_through(folder, 40, disturb):
        # Told to come again once, and then told everything.
        assert browser.answers == [200, 200, 204]
        assert browser.pauses[0] < 3


def test_a_reload_closes_sockets_with_a_reason(folder: Path) -> None:
    with service(folder, *OPTIONS) as run:
        job = Jobs(run).submit("steps", pause=0.05)
        with connect(f"ws://127.0.0.1:{run.port}/jobs/{job}/ws", proxy=None) as socket:
            numbers = [json.loads(socket.recv())["number"]]
            run.signal(signal.SIGHUP)
            with pytest.raises(ConnectionClosed) as closed:
                numbers.extend(json.loads(message)["number"] for message in socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert closed.value.rcvd.reason == "the server is restarted: connect again"
        (folder / "end").touch()
        kind = ""
        while kind != "succeeded":  # the old worker may be met once more, and says the same
            url = f"ws://127.0.0.1:{run.port}/jobs/{job}/ws?after={numbers[-1]}"
            with connect(url, proxy=None) as socket, contextlib.suppress(ConnectionClosed):
                for message in socket:
                    event = json.loads(message)
                    numbers.append(event["number"])
                    kind = event["kind"]
        assert numbers == [*range(len(numbers))]


class Follower:
    """Follows a job as an EventSource does, and costs so little that there may be a thousand.

    answers: to how many requests it has read an answer's head. told: the numbers of its events.
    """

    def __init__(self, port: int, job: str) -> None:
        self._port = port
        self._job = job
        self.answers = 0
        self.told: list[int] = []
        self.last = ""

    async def follow(self) -> None:
        """Come again until it is said that there is no more."""
        while not await self._read_one():  # noqa: ASYNC110  nobody would set an event
            await asyncio.sleep(0.1)

    async def _read_one(self) -> bool:
        """Read one stream to its end; return whether it was said to come no more."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        try:
            last = f"Last-Event-ID: {self.told[-1]}\r\n" if self.told else ""
            head = f"GET /jobs/{self._job}/events HTTP/1.1\r\nHost: localhost\r\n{last}\r\n"
            writer.write(head.encode())
            status = await reader.readline()
            self.answers += bool(status)
            if b" 204 " in status:
                return True
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    self.told.append(event["number"])
                    self.last = event["kind"]
        except OSError:
            pass
        finally:
            writer.close()
        return False


def test_a_web_worker_that_is_killed_with_a_thousand_streams_takes_nothing_with_it(
    folder: Path,
) -> None:
    async def scenario(run: Service, job: str) -> list[Follower]:
        followers = [Follower(run.port, job) for _ in range(1000)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for each in followers:
                tasks.create_task(each.follow())
            while not all(each.told for each in followers):  # noqa: ASYNC110  they do not say so
                await asyncio.sleep(0.02)
            os.kill(run.pids("web")[0], signal.SIGKILL)
            while sum(each.answers > 1 for each in followers) < 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            (folder / "end").touch()
        return followers

    with service(folder, *OPTIONS) as run:
        followers = asyncio.run(scenario(run, Jobs(run).submit("steps", pause=0.05)))
    for each in followers:
        assert each.told == [*range(len(each.told))]
        assert each.last == "succeeded"
    again = [each for each in followers if each.answers > 2]
    assert 200 < len(again) < 800, "connections were spread over both workers"


def test_streams_stay_open_while_nothing_can_be_recorded(folder: Path) -> None:
    """As when a backup holds the file of the store."""

    async def scenario(run: Service, job: str) -> list[Browser]:
        browsers = [Browser(f"http://127.0.0.1:{run.port}", job) for _ in range(20)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for each in browsers:
                tasks.create_task(each.follow())
            while not all(each.told for each in browsers):  # noqa: ASYNC110  they do not say so
                await asyncio.sleep(0.02)
            with contextlib.closing(sqlite3.connect(folder / ".onecopy/jobs.sqlite3")) as held:
                held.execute("BEGIN IMMEDIATE")
                told = [len(each.told) for each in browsers]
                await asyncio.sleep(2)
                assert sum(len(each.told) for each in browsers) - sum(told) <= len(browsers)
                (folder / "end").touch()
            # Its lock is gone with it.
        return browsers

    with service(folder, *OPTIONS) as run:
        job = Jobs(run).submit("steps", pause=0.05)
        browsers = asyncio.run(scenario(run, job))
        assert Jobs(run).look(job)["attempt"] == 1
    for browser in browsers:
        assert browser.answers == [200, 204], "none was ended meanwhile"
        assert [event["number"] for event in browser.told] == [*range(len(browser.told))]
        assert browser.told[-1]["kind"] == "succeeded"


def test_a_restart_of_the_whole_service_is_resumed(folder: Path) -> None:
    port = free_port()
    options = (*OPTIONS, "--port", str(port))

    async def scenario() -> None:
        with service(folder, *options) as run:
            job = Jobs(run).submit("steps", pause=0.05)
            browser = Browser(f"http://127.0.0.1:{port}", job)
            following = asyncio.create_task(browser.follow())
            while len(browser.told) < 4:  # noqa: ASYNC110  it does not say so
                await asyncio.sleep(0.02)
            run.kill()
            (folder / "end").touch()
        with service(folder, *options) as run:
            told = await asyncio.wait_for(following, DEADLINE)
        assert [event["number"] for event in told] == [*range(len(told))]
        kinds = [event["kind"] for event in told if event["kind"] != "progress"]
        assert kinds == ["accepted", "claimed", "retry", "claimed", "succeeded"]

    asyncio.run(scenario())


def test_progress_is_thinned_and_the_last_is_kept(folder: Path) -> None:
    (folder / "end").touch()
    with service(folder, *OPTIONS) as run:
        job = Jobs(run).submit("steps", pause=0.02)
        told = asyncio.run(Browser(f"http://127.0.0.1:{run.port}", job).follow())
    progress = [event["progress"] for event in told if event["kind"] == "progress"]
    assert 2 <= len(progress) <= 8
    assert progress[-1] == {"done": 20, "total": 20, "message": None}


def test_that_a_job_was_claimed_is_told_before_it_says_anything(folder: Path) -> None:
    async def scenario(run: Service) -> None:
        engine = LocalEngine(str(folder / ".onecopy"))
        await engine.open()
        first = asyncio.ensure_future(anext(engine.changes()))
        await asyncio.sleep(0)  # it listens
        job = await asyncio.to_thread(Jobs(run).submit, "silent")
        assert await asyncio.wait_for(first, DEADLINE) == job
        await engine.close()

    with service(folder, *OPTIONS) as run:
        asyncio.run(scenario(run))


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_other_servers_stop_though_streams_are_open(folder: Path, server: str) -> None:
    port = free_port()
    command = {
        "uvicorn": ["uvicorn", "steps:app", "--port", str(port)],
        "gunicorn": ["gunicorn", "steps:app", "-b", f"127.0.0.1:{port}", "-k",
                     "uvicorn_worker.UvicornWorker", "--graceful-timeout", "20"],
    }[server]  # fmt: skip
    log = folder / "log"

    async def scenario(process: subprocess.Popen[bytes]) -> None:
        await asyncio.to_thread(wait_until, lambda: _answers(port), what=server)
        browser = Browser(f"http://127.0.0.1:{port}", await asyncio.to_thread(_submit, port))
        following = asyncio.create_task(browser.follow())
        while not browser.told:  # noqa: ASYNC110  it does not say so
            await asyncio.sleep(0.02)
        began = time.monotonic()
        process.terminate()
        code = await asyncio.to_thread(process.wait, DEADLINE)
        assert time.monotonic() - began < 8
        assert code in (0, -signal.SIGTERM)
        following.cancel()

    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, stdout=output, stderr=output
        )
        try:
            asyncio.run(scenario(process))
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


def _submit(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("POST", "/steps", '{"pause": 1}', {"content-type": "application/json"})
        return json.loads(connection.getresponse().read())["id"]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
