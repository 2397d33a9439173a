"""Flower, rate limits, routes and brokers that go away: what people use Celery for."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onecopy.engines.celery_app import app_of
from servers.process import Server, free_port
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from tests.celery.worker import APP, CELERY, Tier, Worker
from tests.running import wait_until
from tests.servers import started


@pytest.fixture(scope="module")
def tier(redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Tier:
    url = redis_server.url.removesuffix("/0") + "/6"
    return Tier(tmp_path_factory.mktemp("celery"), f"celery+{url}")


@pytest.fixture(scope="module")
def worker(tier: Tier) -> Iterator[Worker]:
    with Worker(tier, "-E", app="tests.celery.routed:shared.celery") as running:
        yield running


@pytest.fixture(scope="module")
def flower(tier: Tier, worker: Worker) -> Iterator[str]:
    del worker
    port = free_port()
    words = [f"--port={port}", "--address=127.0.0.1", "--persistent=False"]
    with (tier.folder / "flower.txt").open("wb") as log:
        process = subprocess.Popen(
            [CELERY, "-A", APP, "flower", *words],
            env={**os.environ, **tier.environment, "FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def asked(url: str) -> Any:  # noqa: ANN401  JSON
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.loads(answer.read() or "null")
    except OSError:
        return None


def test_flower_sees_workers_and_runs_by_their_names(tier: Tier, flower: str) -> None:
    workers = wait_until(lambda: asked(f"{flower}/workers?refresh=1") or None)
    (facts,) = workers.values()
    assert {"add", "nap", "slowly"} <= set(facts["registered"])

    # From when on it listens nobody tells.
    def seen() -> Any:  # noqa: ANN401  JSON
        job = tier.submit("add", x=1, y=2)
        tier.wait(job)
        found = asked(f"{flower}/task/info/{job}")
        return found if found and found["state"] == "SUCCESS" else None

    task = wait_until(seen)
    assert (task["name"], task["kwargs"], task["result"]) == ("add", '{"x": 1, "y": 2}', "'3'")


@pytest.mark.usefixtures("worker")
def test_a_rate_limit(tier: Tier) -> None:
    control = app_of(tier.engine).control
    control.rate_limit("where", "5/s", reply=True, limit=1, timeout=20)
    began = time.monotonic()
    for job in tier.submit_often("where", 8):
        tier.wait(job)
    assert time.monotonic() - began > 1
    control.rate_limit("where", "0", reply=True, limit=1, timeout=20)


@pytest.mark.usefixtures("worker")
def test_a_route_of_the_app(tier: Tier) -> None:
    app = "tests.celery.routed"
    code = f"import {app} as a; print(a.count.submit_sync('{tier.folder}/routed').id)"
    environment = {**os.environ, **tier.environment}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    job = run.stdout.split()[-1]
    with Worker(tier, "-Q", "elsewhere", "-n", "second@%h", app=f"{app}:shared.celery") as second:
        tier.result(job)
        assert f"Task count[{job}] received" in second.log


@pytest.mark.usefixtures("worker")
def test_revoking_a_job_cancels_it(tier: Tier) -> None:
    job = tier.submit("add", options={"due_at": time.time() + 1}, x=1, y=1)
    app_of(tier.engine).control.revoke(job, reply=True, limit=1, timeout=20)
    assert tier.wait(job).status == "cancelled"


@pytest.mark.parametrize("kind", [partial(Redis, options=()), RabbitMQ], ids=["Redis", "RabbitMQ"])
def test_a_broker_that_is_killed_and_started_again(
    kind: Callable[[Path], Server], tmp_path: Path
) -> None:
    with started(kind(tmp_path / "broker")) as broker:
        tier = Tier(tmp_path, f"celery+{broker.url}")
        with Worker(tier):
            assert tier.result(tier.submit("add", x=1, y=1)) == 2
            broker.kill()
            jobs = tier.submit_many("add", [{"x": 1, "y": number} for number in range(3)])
            broker.start()
            # Who has accepted them is gone: the keeper finds them.
            assert [tier.result(job) for job in jobs] == [1, 2, 3]


def test_a_wrong_password(tmp_path: Path) -> None:
    with started(Redis(tmp_path / "redis", options=(), password="open-sesame")) as redis:
        tier = Tier(tmp_path, f"celery+{redis.url.replace('open-sesame', 'guessed')}")
        worker = Worker(tier)
        try:
            worker.wait_for_log("Cannot connect to redis.*(WRONGPASS|invalid)")
        finally:
            worker.stop()
        assert "guessed" not in worker.log


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "ONECOPY_ENGINE is not set"),
        ({"ONECOPY_ENGINE": "celery+ftp://user:secret@host"}, "names no broker of Celery's"),
        ({"ONECOPY_ENGINE": "local:"}, "names no broker of Celery's"),
    ],
)
def test_no_broker_is_said_in_words(environment: dict[str, str], words: str) -> None:
    kept = {key: value for key, value in os.environ.items() if key != "ONECOPY_ENGINE"}
    ended = subprocess.run(
        [CELERY, "-A", APP, "worker"],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr


def test_without_celery_installed() -> None:
    code = "import sys; sys.modules['celery'] = None\nfrom onecopy import OneCopy\nOneCopy().celery"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONECOPY_ENGINE": "celery+redis://localhost"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip install 'onecopy[celery]'" in ended.stderr


def test_rabbitmq_as_the_broker(rabbitmq_server: RabbitMQ, tmp_path: Path) -> None:
    tier = Tier(tmp_path, f"celery+{rabbitmq_server.url}")
    with Worker(tier):
        assert tier.result(tier.submit("add", x=1, y=2)) == 3
        assert tier.result(tier.submit("unsteady", options={"max_attempts": 3})) == 3
