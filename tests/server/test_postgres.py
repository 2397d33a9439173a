"""A whole service whose store is PostgreSQL, and its server gone for a while."""

import concurrent.futures
import http.client
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from servers.postgres import Postgres
from tests.running import DEADLINE, Service, service, wait_until
from tests.server.jobs_app import TASKS, Jobs


@pytest.fixture
def run(tmp_path: Path, postgres_url: str) -> Generator[Service]:
    (tmp_path / "work.py").write_text(TASKS)
    options = ["work:app", "--workers", "2", "--job-workers", "2", "--no-access-log"]
    with service(tmp_path, *options, environment={"ONECOPY_STORE": postgres_url}) as run:
        wait_until(lambda: len(run.pids("job")) == 2)
        yield run


def _events(run: Service, job: str) -> str:
    url = f"http://127.0.0.1:{run.port}/jobs/{job}/events"
    with urllib.request.urlopen(url, timeout=DEADLINE) as stream:
        return stream.read().decode()


def _cli(run: Service, url: str, *words: str) -> str:
    command = [sys.executable, "-m", "onecopy", *words]
    return subprocess.run(
        command,
        cwd=run.folder,
        env={**os.environ, "ONECOPY_STORE": url},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_from_a_request_to_its_result(run: Service, postgres_url: str) -> None:
    jobs = Jobs(run)
    job = jobs.do("count", names=["word 7", "nothing"])
    assert job["result"] == [[7, 8], None]
    assert jobs.ask("GET", f"/jobs/{job['id']}/result") == (200, job["result"])
    kinds = ["accepted", "claimed", "retry", "claimed", "retry", "claimed", "succeeded"]
    flaky = jobs.do("flaky", until=3)
    assert flaky["result"] == 3
    assert jobs.kinds(flaky["id"]) == kinds
    assert run.get("/submit/one") == "one"
    assert run.get("/submit_sync/two") == ["two", "succeeded"]
    assert run.get("/call/mark") == ["result", "called"]
    marked = jobs.submit("mark", text="x")
    assert '"kind":"succeeded"' in _events(run, marked)
    napping = jobs.submit("nap", seconds=60)
    wait_until(lambda: jobs.look(napping)["status"] == "running")
    jobs.ask("DELETE", f"/jobs/{napping}")
    assert jobs.wait(napping)["status"] == "cancelled"

    listed = json.loads(_cli(run, postgres_url, "jobs", "list", "--json", "--task", "flaky"))
    assert [each["id"] for each in listed] == [flaky["id"]]
    assert "flaky" in _cli(run, postgres_url, "jobs", "stats")


def _post(run: Service) -> tuple[int, str | None, str]:
    """Submit a job; return the status, Retry-After and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=DEADLINE)
    try:
        headers = {"content-type": "application/json", "connection": "close"}
        connection.request("POST", "/mark", '{"text": "m"}', headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("retry-after"), answer.read().decode()
    finally:
        connection.close()


def test_its_server_is_killed_under_load_and_started_again(
    run: Service, postgres_server: Postgres
) -> None:
    """503 meanwhile; whatever was answered 202 is run; nobody has to restart anything."""
    answers: list[tuple[int, str | None, str]] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answers.append(_post(run))

    def count(status: int) -> int:
        return sum(answer[0] == status for answer in answers)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        try:
            wait_until(lambda: count(202) > 30)
            postgres_server.kill()
            wait_until(lambda: count(503) > 10)
        finally:
            if not postgres_server.answers():
                postgres_server.start()
            before = count(202)
            wait_until(lambda: count(202) > before + 30)
            stop.set()
    for each in loads:
        each.result()
    assert {answer[0] for answer in answers} == {202, 503}
    assert all(after is not None for status, after, _ in answers if status == 503)
    assert postgres_server.password not in run.log
    jobs = Jobs(run)
    accepted = [json.loads(body)["id"] for status, _, body in answers if status == 202]
    assert {jobs.wait(job)["status"] for job in accepted} == {"succeeded"}
