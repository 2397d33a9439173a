"""Webhooks from end to end: `onecopy run`, and a receiver."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest
import standardwebhooks

from onecopy.webhooks import verify
from tests.running import Service, run_to_its_end, service, wait_until
from tests.server.jobs_app import Jobs
from tests.webhooks.keys import OTHER_SECRET, SECRET
from tests.webhooks.listening import Listener, listening

APP = """
import os, sys
from fastapi import FastAPI
from onecopy import OneCopy
from onecopy.webhooks import Webhooks

shared = OneCopy(webhooks=Webhooks(urls=[os.environ["TOLD"]]) if "TOLD" in os.environ else None)
app = FastAPI()
shared.install(app)

@shared.task
def double(number: int) -> int:
    return 2 * number

@shared.task
def modules() -> list[str]:
    return sorted({name.partition(".")[0] for name in sys.modules})

app.post("/double")(double.endpoint)
app.post("/modules")(modules.endpoint)
"""
OPTIONS = ["work:app", "--workers", "1", "--no-access-log"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work.py").write_text(APP)
    return tmp_path


@pytest.fixture
def receiver() -> Generator[Listener]:
    with listening() as started:
        yield started


def environment(**more: str) -> dict[str, str]:
    return {
        "ONECOPY_WEBHOOK_SECRET": f"{OTHER_SECRET} {SECRET}",
        "ONECOPY_WEBHOOK_ALLOW": "127.0.0.0/8",
        **more,
    }


def post(run: Service, path: str, **body: object) -> dict[str, object]:
    status, job = Jobs(run).ask("POST", path, body)
    assert status == 202, job
    return job


def test_a_client_is_told_and_can_verify_it(work: Path, receiver: Listener) -> None:
    with service(work, *OPTIONS, environment=environment()) as run:
        job = post(run, f"/double?callback_url={receiver.url}", number=21)
        wait_until(lambda: len(receiver.got) == 1)
        [got] = receiver.got
        key = run.get("/jobs/webhook-key")["public_key"]
        for keys in (key, SECRET, OTHER_SECRET):
            payload = verify(got.body, got.headers, keys)
            assert payload["type"] == "job.succeeded"
        assert standardwebhooks.Webhook(SECRET).verify(got.body, got.headers) == payload
        assert (payload["data"]["id"], payload["data"]["result"]) == (job["id"], 42)
        assert SECRET not in run.log


def test_configured_receivers_are_told_of_all_and_nothing_is_imported_late(
    work: Path, receiver: Listener
) -> None:
    with service(work, *OPTIONS, environment=environment(TOLD=receiver.url)) as run:
        post(run, "/modules")
        post(run, "/double", number=1)
        wait_until(lambda: len(receiver.got) == 2)
        told = [json.loads(got.body)["data"] for got in receiver.got]
        modules = next(each["result"] for each in told if each["task"] == "modules")
        assert {"h11", "cryptography"} <= set(modules)


def test_a_service_that_tells_nobody_imports_nothing_for_it(work: Path) -> None:
    with service(work, *OPTIONS) as run:
        job = Jobs(run).do("modules")
        assert not {"httpx", "cryptography"} & set(job["result"])


def test_what_is_configured_wrongly_is_said_at_the_start(work: Path) -> None:
    code, log = run_to_its_end(work, *OPTIONS, environment={"ONECOPY_WEBHOOK_SECRET": "hunter2"})
    assert code != 0
    assert "ONECOPY_WEBHOOK_SECRET: " in log
    assert "hunter2" not in log
