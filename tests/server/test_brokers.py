"""The whole of it with a broker that is killed under load, and started again."""

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from servers.kafka import Kafka
from servers.postgres import Postgres
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from tests.running import Service, wait_until
from tests.server.jobs_app import TASKS, Jobs
from tests.server.marks import Load, Marks
from tests.servers import started

SECRET = "open-sesame"
AWAY = 10.0
"""Seconds: longer than anybody waits before connecting once more."""


def _redis(folder: Path) -> Redis:
    return Redis(folder, password=SECRET)


@pytest.fixture(
    params=[RabbitMQ, Kafka, _redis, Postgres], ids=lambda kind: kind.__name__.strip("_")
)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Server]:
    with started(request.param(tmp_path / "broker")) as server:
        yield server


@pytest.fixture
def jobs(broker: Server, tmp_path: Path) -> Generator[Jobs]:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(TASKS)
    environment = {"ONECOPY_ENGINE": broker.url}
    words = ("app:app", "--workers", "1", "--job-workers", "2", "--no-access-log")
    with Service(folder, *words, environment=environment) as run:
        yield Jobs(run.wait_until_ready())


def _kill_a_worker(jobs: Jobs) -> None:
    retried = jobs.submit("flaky", until=2)
    block = jobs.submit("block", seconds=60)
    pid = int(jobs.wait_for_note(lambda note: note.startswith("begin ")).split()[1])
    os.kill(pid, signal.SIGKILL)
    assert jobs.wait(block)["error"]["type"] == "WorkerLost"
    assert jobs.wait(retried)["status"] == "succeeded"


def test_jobs_run_whatever_becomes_of_the_broker_and_of_workers(broker: Server, jobs: Jobs) -> None:
    marks = Marks(jobs)
    marks.wait_for_rings()
    _kill_a_worker(jobs)
    with Load(marks) as load:
        load.go_on(20)
        broker.kill()
        killed = time.monotonic()
        load.go_on(100)
        wait_until(lambda: "Jobs are accepted all the same" in jobs.run.log)
        wait_until(lambda: time.monotonic() - killed > AWAY)
        broker.start()
        wait_until(lambda: " is back" in jobs.run.log, what="the broker is back")
        load.go_on(20)
    if not isinstance(broker, RabbitMQ):
        # A queue of a RabbitMQ 3 that was killed may be without a leader for a minute or two, and
        # the channel that consumes it hears nothing meanwhile: workers find jobs in the store.
        marks.wait_for_rings()
    marks.must_have_run_once()
    password = broker.password if isinstance(broker, Postgres) else SECRET
    assert password not in jobs.run.log
