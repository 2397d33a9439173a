"""A whole service on a Redis server of its own: HTTP, the command line; the server killed."""

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Generator

import pytest

from servers.redis import Redis
from tests.running import DEADLINE, ONECOPY, Service, service, wait_until
from tests.server.jobs_app import TASKS, Jobs
from tests.servers import started

OPTIONS = ["work:app", "--workers", "2", "--job-workers", "2", "--no-access-log"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Redis]:
    with started(Redis(tmp_path_factory.mktemp("server") / "redis")) as own:
        yield own


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, server: Redis) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "work.py").write_text(TASKS)
    with service(folder, *OPTIONS, environment={"ONECOPY_STORE": server.url}) as started_run:
        yield started_run


@pytest.fixture
def jobs(run: Service) -> Jobs:
    wait_until(lambda: len(run.pids("job")) == 2)
    return Jobs(run)


def onecopy(run: Service, server: Redis, *words: str) -> str:
    environment = {**os.environ, "ONECOPY_STORE": server.url}
    return subprocess.run(
        [*ONECOPY, *words],
        cwd=run.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    ).stdout


def test_a_job_from_end_to_end(jobs: Jobs, server: Redis) -> None:
    job = jobs.do("count", names=["word 7", "nothing"])
    assert job["result"] == [[7, 8], None]
    assert jobs.ask("GET", f"/jobs/{job['id']}/result") == (200, [[7, 8], None])
    assert jobs.kinds(job["id"]) == ["accepted", "claimed", "succeeded"]
    assert jobs.run.get("/submit/one") == "one"
    assert jobs.run.get("/submit_sync/two") == ["two", "succeeded"]
    assert jobs.run.get("/call/mark") == ["result", "called"]
    assert jobs.do("flaky", until=3)["attempt"] == 3
    assert not [name for name in os.listdir(jobs.run.folder / ".onecopy") if "sqlite" in name]
    listed = onecopy(jobs.run, server, "jobs", "list", "--json")
    assert job["id"] in listed
    assert "succeeded" in onecopy(jobs.run, server, "jobs", "show", job["id"])
    assert "keeps what it has accepted" in onecopy(jobs.run, server, "doctor")


def test_a_key_is_one_job(jobs: Jobs) -> None:
    headers = {"Idempotency-Key": "order-17"}
    answers = [jobs.ask("POST", "/mark", {"text": "once"}, headers) for _ in range(3)]
    assert len({answer["id"] for _, answer in answers}) == 1
    assert jobs.ask("POST", "/mark", {"text": "other"}, headers)[0] == 422


def test_a_waiting_client_hears_at_once(jobs: Jobs) -> None:
    """The change is told by the server: nobody waits for the next look into the store."""
    times = [_seconds_of_a_job(jobs) for _ in range(5)]
    assert min(times) < 0.5


def _seconds_of_a_job(jobs: Jobs) -> float:
    began = time.monotonic()
    status, job = jobs.ask("POST", "/mark", {"text": "quick"}, {"Prefer": "wait=10"})
    assert (status, job["result"]) == (200, "quick")
    return time.monotonic() - began


class Clients:
    """Clients that submit until they are stopped, and note what they were answered."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._stop = False
        self.accepted: list[str] = []
        self.refused: list[str | None] = []
        self.others: list[object] = []
        self._threads = [threading.Thread(target=self._submit) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _submit(self) -> None:
        number = 0
        while not self._stop:
            number += 1
            connection = http.client.HTTPConnection("127.0.0.1", self._jobs.run.port, timeout=60)
            headers = {"content-type": "application/json"}
            connection.request("POST", "/mark", json.dumps({"text": f"n {number}"}), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            connection.close()
            if answer.status == 202:
                self.accepted.append(body["id"])
            elif answer.status == 503:
                self.refused.append(answer.headers["Retry-After"])
            else:
                self.others.append((answer.status, body))

    def stop(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()


def test_a_server_that_is_killed_under_load_and_comes_back(jobs: Jobs, server: Redis) -> None:
    clients = Clients(jobs)
    try:
        wait_until(lambda: len(clients.accepted) > 50)
        server.kill()
        wait_until(lambda: len(clients.refused) > 5)
        server.start()
        after = len(clients.accepted)
        wait_until(lambda: len(clients.accepted) > after + 50)
    finally:
        clients.stop()
    assert clients.others == []
    assert all(clients.refused), "each says when to come back"
    for job in clients.accepted:
        assert jobs.wait(job)["status"] == "succeeded"
    assert len(set(clients.accepted)) == len(clients.accepted)
