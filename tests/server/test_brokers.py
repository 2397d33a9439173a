"""The whole of it with a broker that is killed under load, and started again."""

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from servers.kafka import Kafka
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from tests.running import Service, wait_until
from tests.server.jobs_app import TASKS, Jobs
from tests.servers import started


@pytest.fixture(params=[RabbitMQ, Kafka])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Server]:
    with started(request.param(tmp_path / "broker")) as server:
        yield server


@pytest.fixture
def jobs(broker: Server, tmp_path: Path) -> Generator[Jobs]:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(TASKS)
    environment = {"ONECOPY_ENGINE": broker.url}
    words = ("app:app", "--workers", "1", "--job-workers", "2")
    with Service(folder, *words, environment=environment) as run:
        yield Jobs(run.wait_until_ready())


def _all_run(jobs: Jobs, ids: list[str]) -> None:
    for job in ids:
        assert jobs.wait(job)["status"] == "succeeded"


def test_jobs_run_whatever_becomes_of_the_broker_and_of_workers(broker: Server, jobs: Jobs) -> None:
    _all_run(jobs, [jobs.submit("mark", text="with it") for _ in range(20)])

    first = jobs.submit("flaky", until=2)
    block = jobs.submit("block", seconds=60)
    pid = int(jobs.wait_for_note(lambda note: note.startswith("begin ")).split()[1])
    os.kill(pid, signal.SIGKILL)
    assert jobs.wait(block)["error"]["type"] == "WorkerLost"
    assert jobs.wait(first)["status"] == "succeeded"

    broker.kill()
    began = time.monotonic()
    without = [jobs.submit("mark", text="without it") for _ in range(100)]
    assert time.monotonic() - began < 25, "what is accepted waits for no broker"
    _all_run(jobs, without)
    wait_until(lambda: "Jobs are accepted all the same" in jobs.run.log)
    assert "open-sesame" not in jobs.run.log

    broker.start()
    wait_until(lambda: " is back" in jobs.run.log, what="the broker is back")
    again = [jobs.submit("mark", text="with it again") for _ in range(20)]
    _all_run(jobs, again)
    assert sum(note == "without it" for note in jobs.notes()) == 100
    assert sum(note == "with it again" for note in jobs.notes()) == 20
