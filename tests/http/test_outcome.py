"""Outcomes that come from elsewhere: who may report one, and what it may say."""

import asyncio
import base64
import re
import time
from collections.abc import Generator
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook

from onecopy import Elsewhere as OutcomeElsewhere
from onecopy import JobContext, OneCopy
from onecopy.jobs import Elsewhere, Job, Release
from onecopy.stores import change_one
from onecopy.testing.tasks import jobs_in_memory
from tests.http.service import Service, service
from tests.http.test_wire import problem


@pytest.fixture
def geocoder() -> Generator[Service]:
    with service() as running:
        yield running


def leave_to_others(running: Service) -> Job:
    """Have a job accepted, and its attempt left to whoever has its token."""
    accepted = running.submit(rows=["Bern"])
    return running.wait(_claim(running, accepted["id"]))


async def _claim(running: Service, name: str) -> Job:
    now = time.time()
    store = running.jobs.store
    [job] = await store.claim("w", ["default"], now=now, until=now + 30)
    assert job.id == name
    return await change_one(store, name, Elsewhere(token_of(job), now + 60), now=now)


def token_of(job: Job) -> str:
    assert job.lease is not None
    return job.lease.token


def report(running: Service, job: Job, body: object, token: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or token_of(job)}"}
    return running.send("POST", f"/jobs/{job.id}/outcome", headers, json=body)


def signed(
    job: Job, body: str, *, token: str | None = None, at: float | None = None
) -> dict[str, str]:
    secret = base64.b64encode((token or token_of(job)).encode()).decode()
    when = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", when, body),
        "content-type": "application/json",
    }


def test_a_task_leaves_its_outcome_to_others() -> None:
    tokens: list[str] = []
    shared, app = OneCopy(), FastAPI()

    @shared.task
    def send_away(number: int, context: JobContext) -> int:
        assert context.token not in repr(context)
        tokens.append(context.token)
        raise OutcomeElsewhere(timeout=60)

    app.post("/send-away")(send_away.endpoint)
    shared.install(app)
    with jobs_in_memory(shared) as jobs:
        running = Service(shared, app, jobs)
        job = running.send("POST", "/send-away", json={"number": 1}).json()
        assert jobs.run() == 1
        assert running.send("GET", f"/jobs/{job['id']}").json()["status"] == "running"
        headers = {"Authorization": f"Bearer {tokens[0]}"}
        path = f"/jobs/{job['id']}/outcome"
        problem(running.send("POST", path, headers, json={"result": "x"}), 422, "outcome-invalid")
        assert running.send("POST", path, headers, json={"result": 2}).json()["result"] == 2


def test_what_is_elsewhere_is_cancelled_at_once(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    assert geocoder.send("DELETE", f"/jobs/{job.id}").json()["status"] == "cancelled"
    problem(report(geocoder, job, {"result": []}), 409, "job-final")


def test_a_result_by_token(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    result = [{"name": "Bern", "height": 540}]
    response = report(geocoder, job, {"result": result})
    assert response.status_code == 200, response.text
    assert (response.json()["status"], response.json()["result"]) == ("succeeded", result)
    assert geocoder.send("GET", f"/jobs/{job.id}/result").json() == result


def test_a_result_signed_with_the_token(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    body = '{"result": []}'
    path = f"/jobs/{job.id}/outcome"
    for wrong in (
        signed(job, body + " "),
        signed(job, body, token="another" * 5),
        signed(job, body, at=time.time() - 600),
    ):
        problem(geocoder.send("POST", path, wrong, content=body), 403, "token-refused")
    response = geocoder.send("POST", path, signed(job, body), content=body)
    assert response.json()["status"] == "succeeded"


def test_an_outcome_is_taken_once(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    assert report(geocoder, job, {"result": []}).status_code == 200
    problem(report(geocoder, job, {"result": []}), 409, "job-final")
    problem(report(geocoder, job, {"error": {"message": "late"}}), 409, "job-final")


def test_progress_any_number_of_times(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    for done in (1, 2):
        progress = {"done": done, "total": 3, "message": "so far"}
        response = report(geocoder, job, {"progress": progress})
        assert (response.json()["status"], response.json()["progress"]) == ("running", progress)


def test_progress_keeps_a_pace(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    began = time.monotonic()
    for done in range(4):
        assert report(geocoder, job, {"progress": {"done": done}}).status_code == 200
    assert time.monotonic() - began >= 0.3


def test_an_error_is_tried_again_while_attempts_are_left(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    response = report(geocoder, job, {"error": {"type": "Away", "message": "not reached"}})
    assert response.json()["status"] == "queued"
    found = geocoder.wait(geocoder.jobs.job(job.id))
    assert found is not None
    assert found.failure is not None
    assert (found.failure.type, found.due_at > time.time()) == ("Away", True)


def test_an_error_that_no_attempt_would_mend(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    response = report(geocoder, job, {"error": {"message": "no such place", "retry": False}})
    assert response.json()["error"] == {"type": "Failed", "message": "no such place"}


@pytest.mark.parametrize("token", ["", "forged", "ü", "x" * 10_000])
def test_forged_tokens(geocoder: Service, token: str) -> None:
    job = leave_to_others(geocoder)
    headers = {"Authorization": f"Bearer {token}".encode()}
    response = geocoder.send("POST", f"/jobs/{job.id}/outcome", headers, json={"result": []})
    problem(response, 403, "token-refused")


def test_the_token_of_an_attempt_before(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    geocoder.wait(change_one(geocoder.jobs.store, job.id, Release(token_of(job)), now=time.time()))
    problem(report(geocoder, job, {"result": []}), 403, "token-refused")
    again = geocoder.wait(_claim(geocoder, job.id))
    problem(report(geocoder, again, {"result": []}, token_of(job)), 403, "token-refused")
    assert report(geocoder, again, {"result": []}).status_code == 200


def test_no_token_at_all(geocoder: Service) -> None:
    job = leave_to_others(geocoder)
    response = geocoder.send("POST", f"/jobs/{job.id}/outcome", json={"result": []})
    problem(response, 403, "token-refused")
    queued = geocoder.submit(rows=["Bern"])
    response = geocoder.send("POST", f"/jobs/{queued['id']}/outcome", json={"result": []})
    problem(response, 403, "token-refused")


def test_an_unknown_job(geocoder: Service) -> None:
    problem(geocoder.send("POST", "/jobs/unknown/outcome", json={}), 404, "job-unknown")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "one of"),
        ([], "object"),
        ({"result": [], "error": {"message": ""}}, "one of"),
        ({"outcome": 1}, "outcome"),
        ({"result": ["no place"]}, r"\$.result"),
        ({"error": "no"}, r"\$.error"),
        ({"error": {}}, "message"),
        ({"error": {"message": "x", "retry": 1}}, "retry"),
        ({"progress": {"done": "a"}}, "done"),
        ({"progress": {}}, None),
    ],
)
def test_what_is_no_outcome(geocoder: Service, body: object, words: str | None) -> None:
    job = leave_to_others(geocoder)
    response = report(geocoder, job, body)
    if words is None:
        assert response.status_code == 200
        return
    detail = problem(response, 422, "outcome-invalid")["detail"]
    assert re.search(words, detail), detail
    assert report(geocoder, job, {"result": []}).status_code == 200


@pytest.mark.parametrize("body", [b"{", b'{"result": nan}', b"\xff", b'{"result": }'])
def test_what_is_no_json(geocoder: Service, body: bytes) -> None:
    job = leave_to_others(geocoder)
    headers = {"Authorization": f"Bearer {token_of(job)}", "content-type": "application/json"}
    response = geocoder.send("POST", f"/jobs/{job.id}/outcome", headers, content=body)
    problem(response, 400, "json-invalid")


def test_two_reports_at_once_are_one(geocoder: Service) -> None:
    job = leave_to_others(geocoder)

    async def both() -> list[int]:
        ask = asyncio.to_thread
        answers = await asyncio.gather(
            *(ask(report, geocoder, job, {"result": []}) for _ in range(8))
        )
        return sorted(answer.status_code for answer in answers)

    codes = asyncio.run(both())
    assert codes[0] == 200
    assert set(codes[1:]) <= {403, 409}


def test_the_checks_of_the_app_are_not_in_front() -> None:
    """Whoever works elsewhere has the token, and no account."""
    from fastapi import Depends, HTTPException

    def refuse() -> None:
        raise HTTPException(401)

    with service(dependencies=[Depends(refuse)]) as running:
        job = leave_to_others(running)
        assert running.send("GET", f"/jobs/{job.id}").status_code == 401
        assert report(running, job, {"result": []}).status_code == 200
