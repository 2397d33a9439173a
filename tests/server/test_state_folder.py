"""The state folder of a running service: its queue is full, it is deleted, two apps share it."""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from onecopy.errors import QueueIsFull
from tests.running import Service, service
from tests.server.jobs_app import Jobs

APP: Final = """
import os
from fastapi import FastAPI
from onecopy import OneCopy
from onecopy.errors import OneCopyError

shared = OneCopy()
app = FastAPI()
shared.install(app)

@shared.task(max_queued=3)
def {name}(text: str) -> str:
    with open("notes", "a") as notes:
        notes.write(text + "\\n")
    return text

app.post("/{name}")({name}.endpoint)

@app.get("/submit")
async def submit() -> list[str]:
    try:
        return [(await {name}.submit("x")).id]
    except OneCopyError as error:
        return [type(error).__name__, str(error)]

@app.get("/call")
async def call() -> str:
    return await {name}.call("called")
"""
WEB: Final = ("app:app", "--workers", "1", "--no-access-log", "--job-workers", "0")
WITH_WORKER: Final = (*WEB[:-1], "1")


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "app.py").write_text(APP.format(name=name))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _folder(tmp_path, "write")


@pytest.fixture
def web(folder: Path) -> Generator[Service]:
    with service(folder, *WEB) as run:
        yield run


def test_a_full_queue_says_so_over_http_and_in_python(web: Service) -> None:
    jobs = Jobs(web)
    ids = [jobs.submit("write", text=f"text {number}") for number in range(3)]
    status, problem = jobs.ask("POST", "/write", {"text": "one too many"})
    assert (status, problem["type"]) == (503, "urn:onecopy:problem:queue-full")
    assert web.get("/submit") == ["QueueIsFull", str(QueueIsFull("default"))]
    jobs.ask("DELETE", f"/jobs/{ids[0]}")
    assert len(web.get("/submit")) == 1, "there is room again"
    assert web.get("/submit")[0] == "QueueIsFull"


def test_a_state_folder_that_is_deleted(folder: Path) -> None:
    with service(folder, *WITH_WORKER) as run:
        jobs = Jobs(run)
        first = jobs.do("write", text="first")["id"]
        shutil.rmtree(folder / ".onecopy")

        status, problem = jobs.ask("POST", "/write", {"text": "lost"})
        assert (status, problem["type"]) == (503, "urn:onecopy:problem:unavailable")
        assert str(folder) not in problem["detail"], "paths are for the log"
        assert jobs.ask("GET", f"/jobs/{first}")[0] == 503
        kind, words = run.get("/submit")
        assert kind == "StoreUnavailable"
        assert "it is gone" in words
        run.wait_for_log(r"no job of task 'write' can be accepted: .*it is gone")
        run.wait_for_log(r"cannot (claim|sweep): .*it is gone")
        assert run.stop() == 0
    with service(folder, *WITH_WORKER) as run:
        jobs = Jobs(run)
        assert jobs.ask("GET", f"/jobs/{first}")[0] == 404
        assert jobs.do("write", text="again")["status"] == "succeeded"
        assert jobs.notes() == ["first", "again"]


def test_two_apps_may_share_a_state_folder(tmp_path: Path) -> None:
    folders = [_folder(tmp_path, name) for name in ("one", "two")]
    state = {"ONECOPY_STATE_DIR": str(tmp_path / "state")}
    with (
        service(folders[0], *WITH_WORKER, environment=state) as one,
        service(folders[1], *WITH_WORKER, environment=state) as two,
    ):
        sent = [
            (jobs, jobs.submit(name, text=f"{name} {number}"))
            for number in range(3)
            for name, jobs in (("one", Jobs(one)), ("two", Jobs(two)))
        ]
        for jobs, job in sent:
            found = jobs.wait(job)
            assert (found["status"], found["attempt"]) == ("succeeded", 1)
        for name, run in (("one", one), ("two", two)):
            # A job that the other's worker had in its hands comes a little later.
            assert sorted(Jobs(run).notes()) == [f"{name} {number}" for number in range(3)]
            # Whichever app's worker is asked first.
            assert run.get("/call") == "called"
