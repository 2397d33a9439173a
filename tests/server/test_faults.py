import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.load import Load
from tests.running import Service, alive, service, wait_until
from tests.server.jobs_app import TASKS, Jobs


def _everyone(run: Service) -> list[int]:
    return [process["pid"] for process in run.status()["processes"]]


def _kill_one(run: Service) -> bool:
    """Kill a random worker; False if there was none, or it was gone already."""
    workers = run.pids("web")
    try:
        os.kill(random.choice(workers), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def test_killed_worker_is_forked_again_within_a_second(folder: Path) -> None:
    def seconds_without(run: Service) -> float:
        before = run.pids("web")
        os.kill(before[0], signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: len(set(run.pids("web")) - set(before)) == 1)
        return time.monotonic() - began

    with service(folder, "plain:app", "--workers", "2") as run:
        # The best of three: what else the machine does may delay one.
        took = [seconds_without(run) for _ in range(3)]
        assert min(took) < 1, took
        assert "was killed by SIGKILL" in run.log
        assert run.get()


def test_200_kills_cost_only_requests_in_flight(folder: Path) -> None:
    kills = 200

    async def scenario(run: Service) -> Load:
        async with Load(run.port, clients=8) as load:
            for _ in range(kills):
                await load.wait_for(5)
                await asyncio.to_thread(wait_until, lambda: _kill_one(run))
            await load.wait_for(200)
        return load

    with service(folder, "plain:app", "--workers", "4", "--no-access-log") as run:
        load = asyncio.run(scenario(run))
        assert not [failure for failure in load.failures if failure.startswith("connect")]
        # Each kill ends the connections of one worker: at most all eight, one request on each.
        assert len(load.failures) <= kills * 8
        wait_until(lambda: len(run.pids("web")) == 4)
        assert run.get("/sum")


def test_workers_serve_on_without_their_image_and_get_a_new_one(folder: Path) -> None:
    async def scenario(run: Service) -> Load:
        async with Load(run.port, clients=8, pause=0.01) as load:
            (image,) = await asyncio.to_thread(run.pids, "image")
            os.kill(image, signal.SIGKILL)
            await asyncio.to_thread(run.wait_for_log, "generation 2 serves")
            await load.wait_for(100)
        return load

    with service(folder, "plain:app", "--workers", "2", "--no-access-log") as run:
        old = run.pids("web")
        load = asyncio.run(scenario(run))
        assert load.failures == []
        wait_until(lambda: not set(run.pids("web")) & set(old))
        assert len(run.pids("image")) == 1
        assert len(run.pids("web")) == 2


def test_nothing_outlives_a_killed_supervisor(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "3") as run:
        others = [pid for pid in _everyone(run) if pid != run.pid]
        assert len(others) == 4
        with socket.create_connection(("127.0.0.1", run.port)) as stuck:
            stuck.sendall(b"GET /block/60 HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: run.get())
            run.process.kill()
            wait_until(lambda: not [pid for pid in others if alive(pid)], seconds=3)


def test_worker_that_dies_at_once_again_and_again_is_not_forked_in_a_storm(folder: Path) -> None:
    (folder / "dying.py").write_text(
        "import os, plain\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan' and os.path.exists('poison'):\n"
        "        os._exit(9)\n"
        "    await plain.app(scope, receive, send)\n"
    )
    with service(folder, "dying:app", "--workers", "1") as run:
        (folder / "poison").touch()
        os.kill(run.pids("web")[0], signal.SIGKILL)
        run.wait_for_log(r"workers die at once: the next is forked in 1\.0 s")
        assert run.log.count("exited with code 9") < 8
        (folder / "poison").unlink()
        wait_until(lambda: run.pids("web"))
        assert run.get()


def test_start_fails_when_workers_cannot_start(folder: Path) -> None:
    (folder / "dying.py").write_text(
        "import os, signal\n"
        "async def app(scope, receive, send):\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    with Service(folder, "dying:app", "--workers", "2") as run:
        assert run.wait() == 3
        assert "was killed by SIGSEGV while it started" in run.log
        assert not run.log.count("serves")


def test_half_a_request_blocks_nobody(folder: Path) -> None:
    with (
        service(folder, "plain:app", "--workers", "1") as run,
        socket.create_connection(("127.0.0.1", run.port)) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\nHos")
        for _ in range(5):
            assert run.get()
        run.signal(signal.SIGINT)
        assert run.wait(10) == 0


def test_stopped_supervisor_and_silent_control_client(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "1") as run:
        (path,) = (folder / ".onecopy").glob("supervisor-*.sock")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
            silent.sendall(b"\x05\x00")
            assert run.status()["workers"] == 1
            with socket.socket(socket.AF_UNIX) as wrong:
                wrong.connect(str(path))
                wrong.sendall(b"\x03\x00\x00\x00abc" + b"x" * 100_000)
                wrong.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    assert wrong.recv(10) == b""
            assert run.status()["workers"] == 1


@pytest.mark.parametrize("role", ["web", "image"])
def test_kill_while_a_new_generation_loads(folder: Path, role: str) -> None:
    (folder / "slow.py").write_text("import time\ntime.sleep(1)\nfrom plain import app\n")
    with service(folder, "slow:app", "--workers", "2") as run:
        (victim, *_) = run.pids(role)
        run.signal(signal.SIGHUP)
        run.wait_for_log("reloading")
        os.kill(victim, signal.SIGKILL)
        run.wait_for_log("generation 2 serves")
        wait_until(lambda: len(run.pids("web")) == 2)
        assert run.get()


_LEAVES = """
import asyncio, os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from onecopy import OneCopy

@asynccontextmanager
async def slow(app):
    await asyncio.sleep(float(os.environ.get("START", "0")))
    yield

shared = OneCopy()
app = FastAPI(lifespan=slow)
shared.install(app)

@shared.task(retries=1, backoff=0.01)
def leave() -> None:
    os._exit(5)

app.post("/leave")(leave.endpoint)
"""


def test_jobs_that_end_their_worker_at_once_keep_no_service_from_starting(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(_LEAVES)
    with service(tmp_path, "leaves:app", "--workers", "1", "--job-workers", "0") as run:
        ids = [Jobs(run).submit("leave") for _ in range(3)]
        assert run.stop() == 0
    options = ["--workers", "1", "--job-workers", "1"]
    with service(tmp_path, "leaves:app", *options, environment={"START": "2"}) as run:
        for found in map(Jobs(run).wait, ids):
            assert (found["status"], found["attempt"]) == ("failed", 2)


def test_jobs_claimed_ahead_by_a_worker_that_dies_are_run_and_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(TASKS)
    with service(tmp_path, "work:app", "--workers", "1", "--job-workers", "1") as run:
        jobs = Jobs(run)
        jobs.submit("block", seconds=1)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        for _ in range(50):  # Short ones, so that what follows is claimed ahead.
            jobs.submit("mark", text="before")
        crash = jobs.submit("crash")
        after = [jobs.submit("mark", text="after") for _ in range(50)]
        assert jobs.wait(crash)["error"]["message"] == "its worker was killed by SIGSEGV"
        for found in map(jobs.wait, after):
            assert (found["status"], found["attempt"]) == ("succeeded", 1)
        assert jobs.notes().count("after") == 50
