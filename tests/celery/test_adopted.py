"""Tasks of an existing Celery app, run by its own worker; their jobs are followed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.redis import Redis
from tests.celery.worker import Tier, Worker
from tests.running import DEADLINE, service
from tests.server.jobs_app import Jobs

# In a process of its own: one Celery app carries the jobs of a process.
CLIENT = """
import json, sys
from starlette.testclient import TestClient
from tests.celery.existing import app, routed, shared

def of(answer):
    job = answer.json()
    with client.stream("GET", job["links"]["events"]) as events:
        kinds = [
            json.loads(line.partition(":")[2])["kind"]
            for line in events.iter_lines()
            if line.startswith("data:")
        ]
    return [answer.status_code, client.get(job["links"]["self"]).json(), kinds]

with TestClient(app) as client:
    waits = {"Prefer": "wait=20"}
    answers = {
        name: of(client.post(path, json=body, headers=waits))
        for name, path, body in json.loads(sys.argv[1])
    }
    answers["unfit"] = client.post("/double", json={"number": "many"}).status_code
    print(json.dumps(answers))
"""
CALLS: list[list[Any]] = [
    ["double", "/double", {"number": 21}],
    ["retried", "/stubborn", {"failures": 2}],
    ["failed", "/stubborn", {"failures": 0, "kind": "fail"}],
    ["given up", "/stubborn", {"failures": 9}],
    ["routed", "/routed", {}],
    ["ours", "/ours", {"x": 1}],
]


@pytest.fixture(scope="module")
def environment(redis_server: Redis) -> dict[str, str]:
    return {"BROKER": redis_server.url.removesuffix("/0") + "/5"}


@pytest.fixture(scope="module")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Tier:
    return Tier(tmp_path_factory.mktemp("existing"), "celery:")


@pytest.fixture(scope="module")
def worker(tier: Tier, environment: dict[str, str]) -> Iterator[Worker]:
    app = "tests.celery.existing:tasks"
    with Worker(tier, "-Q", "existing,elsewhere", app=app, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def answers(tier: Tier, environment: dict[str, str], worker: Worker) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(CALLS)],
        env={**os.environ, **tier.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * DEADLINE,
    )
    assert ended.returncode == 0, ended.stderr + worker.log
    return json.loads(ended.stdout.splitlines()[-1])


def test_results(answers: dict[str, Any]) -> None:
    status, job, kinds = answers["double"]
    assert (status, job["status"], job["result"]) == (200, "succeeded", 42)
    assert kinds == ["accepted", "claimed", "succeeded"]


def test_hints_check_arguments(answers: dict[str, Any]) -> None:
    assert answers["unfit"] == 422


def test_retries_of_celery_are_retries_of_the_job(answers: dict[str, Any]) -> None:
    _, job, kinds = answers["retried"]
    assert (job["result"], job["attempt"], job["max_attempts"]) == ({"retries": 2}, 3, 4)
    assert kinds == ["accepted", *("claimed", "retry") * 2, "claimed", "succeeded"]


def test_failures(answers: dict[str, Any]) -> None:
    _, job, kinds = answers["failed"]
    assert job["error"] == {"type": "LookupError", "message": "nothing there"}
    assert kinds[-1] == "failed"
    _, job, kinds = answers["given up"]
    assert (job["attempt"], job["error"]["message"]) == (4, "no. 3")
    assert kinds.count("retry") == 3


def test_routes_of_the_app_are_kept(answers: dict[str, Any]) -> None:
    assert answers["routed"][1]["result"] == "by its route"


def test_tasks_of_both_kinds_run_in_one_worker(answers: dict[str, Any]) -> None:
    assert answers["ours"][1]["result"] == 2


def delay(environment: dict[str, str]) -> None:
    """Send a message of a task as ever."""
    code = "from tests.celery.existing import double; double.delay(4)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True)


def test_a_message_that_is_of_no_job_runs_as_ever(
    tier: Tier, environment: dict[str, str], worker: Worker
) -> None:
    delay(tier.environment | environment)
    worker.wait_for_log(r"Task double\[\S+\] succeeded in \S+ 8")


def test_a_message_that_is_of_no_job_is_not_lost_to_job_workers(
    redis_server: Redis, tmp_path: Path
) -> None:
    environment = {"BROKER": redis_server.url.removesuffix("/0") + "/7"}
    redis = ["redis-cli", "-u", environment["BROKER"]]
    subprocess.run([*redis, "flushdb"], check=True, stdout=subprocess.DEVNULL)
    delay(environment)
    options = ["tests.celery.existing:app", "--workers", "1", "--app-dir", os.getcwd()]
    with service(tmp_path, *options, environment=environment) as run:
        assert Jobs(run).do("ours", x=1)["result"] == 2
    left = subprocess.check_output([*redis, "lrange", "existing", "0", "-1"], text=True)
    assert '"task": "double"' in left
