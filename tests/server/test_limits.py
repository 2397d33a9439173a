import asyncio
import socket
from pathlib import Path

from tests.load import Load
from tests.running import Service, alive, service, wait_until
from tests.server.jobs_app import TASKS, Jobs


def test_worker_is_replaced_after_many_requests_and_none_fails(folder: Path) -> None:
    async def scenario(run: Service) -> Load:
        async with Load(run.port, clients=4) as load:
            while len(load.by_body) < 4:  # Who has answered; the first two are to be replaced.
                await load.wait_for(100)
        return load

    options = ["--workers", "2", "--max-requests", "100", "--max-requests-jitter", "20"]
    with service(folder, "plain:app", *options, "--no-access-log") as run:
        first = run.pids("web")
        load = asyncio.run(scenario(run))
        assert load.failures == []
        assert "requests (--max-requests)" in run.log
        wait_until(lambda: len(run.pids("web")) >= 2 and set(run.pids("web")) != set(first))


def test_worker_that_grows_is_replaced(folder: Path) -> None:
    options = ["--workers", "1", "--max-worker-memory", "60MB"]
    with service(folder, "plain:app", *options) as run:
        (before,) = run.pids("web")
        for _ in range(8):
            run.get("/grow/10000000")
        run.wait_for_log(r"is replaced: it holds .* more than --max-worker-memory 60\.0 MB")
        wait_until(lambda: not alive(before))
        (after,) = run.pids("web")
        assert run.get() == after


def test_stuck_worker_is_killed_with_its_stack(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "2", "--timeout", "1") as run:
        with socket.create_connection(("127.0.0.1", run.port)) as stuck:
            stuck.sendall(b"GET /block/60 HTTP/1.1\r\nHost: test\r\n\r\n")
            run.wait_for_log("its event loop has not turned for")
            run.wait_for_log(r'File ".*plain\.py", line \d+ in app')
            run.wait_for_log("was killed by SIGKILL")
        wait_until(lambda: len(run.pids("web")) == 2)
        assert run.get()


def test_a_worker_that_waits_for_its_app_is_not_stuck(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "1", "--timeout", "1") as run:
        assert run.get("/sleep/2.5")
        assert "has not turned" not in run.log


def test_data_that_each_worker_loads_is_said_once_with_the_cure(folder: Path) -> None:
    (folder / "private.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from fastapi import FastAPI\n"
        "@asynccontextmanager\n"
        "async def load(app):\n"
        "    app.state.data = [str(number) * 3 for number in range(600_000)]\n"
        "    yield\n"
        "app = FastAPI(lifespan=load)\n"
    )
    with service(folder, "private:app", "--workers", "2") as run:
        run.wait_for_log(r"holds [\d.]+ MB that it shares with nobody")
        assert "--lifespan image" in run.log
        assert run.log.count("shares with nobody") == 1


def test_graceful_timeout_ends_a_drain(folder: Path) -> None:
    options = ["--workers", "1", "--timeout-graceful-shutdown", "1", "--timeout-keep-alive", "1"]
    with service(folder, "plain:app", *options) as run:
        (worker,) = run.pids("web")
        with socket.create_connection(("127.0.0.1", run.port)) as busy:
            busy.sendall(b"GET /sleep/1000 HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: run.get("/sum"))
            assert run.stop() == 0
        assert not alive(worker)


def test_a_task_that_swallows_its_time_limit_does_not_keep_a_stop_from_ending(
    tmp_path: Path,
) -> None:
    # Takes as long as the grace after a time limit.
    (tmp_path / "work.py").write_text(TASKS)
    with service(tmp_path, "work:app", "--workers", "1", "--job-workers", "1") as run:
        jobs = Jobs(run)
        job = jobs.submit("deaf")
        wait_until(lambda: jobs.look(job)["status"] == "running")
        assert run.stop() == 0
        assert "was killed: its task did not end when its time was over" in run.log
