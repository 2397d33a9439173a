"""The wire, line by line of the table in the documentation."""

import asyncio
import re
from collections.abc import AsyncIterator, Generator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.routing import APIRoute
from starlette.routing import Match, Route
from starlette.types import Scope

from onecopy import OneCopy
from onecopy.execution.ports import Runtime
from onecopy.jobs import Job
from onecopy.stores import Unavailable
from onecopy.testing.tasks import jobs_in_memory
from tests.http.service import Service, service


@pytest.fixture
def geocoder() -> Generator[Service]:
    with service() as running:
        yield running


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Check that an answer is a problem of a kind, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"urn:onecopy:problem:{name}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


# POST to a task's endpoint.


def test_a_post_accepts_a_job(geocoder: Service) -> None:
    response = geocoder.send("POST", "/geocode", json={"rows": ["Bern"]})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert response.headers["retry-after"] == "1"
    assert response.headers["vary"] == "Prefer"
    assert response.headers["cache-control"] == "no-store"
    assert "preference-applied" not in response.headers
    assert len(job["id"]) == 24
    created = datetime.fromisoformat(job["created_at"])
    assert created.utcoffset() == timedelta(0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", job["created_at"])
    assert job == {
        "id": job["id"],
        "task": "geocode",
        "status": "queued",
        "attempt": 0,
        "max_attempts": 3,
        "created_at": job["created_at"],
        "started_at": None,
        "finished_at": None,
        "progress": None,
        "error": None,
        "links": {
            "self": f"/jobs/{job['id']}",
            "result": f"/jobs/{job['id']}/result",
            "events": f"/jobs/{job['id']}/events",
        },
    }


def test_a_post_that_would_wait_gets_the_job_once_it_is_final(geocoder: Service) -> None:
    response = geocoder.send("POST", "/geocode", {"Prefer": "wait=5"}, json={"rows": ["Bern"]})
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=5"
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert job["status"] == "succeeded"
    assert job["result"] == [{"name": "Bern", "height": None}]
    assert job["progress"] == {"done": 1, "total": 1, "message": None}
    assert job["attempt"] == 1
    assert job["started_at"] <= job["finished_at"]


def test_a_job_that_failed_in_time_is_an_answer_too(geocoder: Service) -> None:
    response = geocoder.send("POST", "/geocode", {"Prefer": "wait=5"}, json={"rows": ["nowhere"]})
    assert response.status_code == 200
    job = response.json()
    assert job["status"] == "failed"
    assert job["error"] == {"type": "Failed", "message": "no such place: nowhere"}
    assert "result" not in job


def test_a_post_whose_wait_is_over_is_answered_202(geocoder: Service) -> None:
    response = geocoder.send(
        "POST", "/geocode", {"Prefer": "respond-async, wait=0"}, json={"rows": ["Bern"]}
    )
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait=0"
    assert response.json()["status"] == "queued"


def test_a_post_that_would_rather_not_wait(geocoder: Service) -> None:
    headers = {"Prefer": "respond-async"}
    response = geocoder.send("POST", "/geocode", headers, json={"rows": ["Bern"]})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"


def test_nobody_waits_longer_than_the_longest_wait() -> None:
    with service(longest_wait=2) as short:
        headers = {"Prefer": "wait=600"}
        response = short.send("POST", "/geocode", headers, json={"rows": ["Bern"]})
        assert response.headers["preference-applied"] == "wait=2"


def test_no_body_is_no_arguments(geocoder: Service) -> None:
    assert geocoder.send("POST", "/count").status_code == 202
    body = problem(geocoder.send("POST", "/geocode"), 422, "arguments-invalid")
    assert body["errors"] == [{"detail": "Field required", "pointer": "#/rows"}]


def test_defaults_and_models_travel(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"], near={"name": "Basel", "height": 260})
    geocoder.jobs.run()
    result = geocoder.send("GET", job["links"]["result"])
    assert result.json() == [{"name": "Bern", "height": 260.0}]


def test_injected_parameters_are_none_of_the_clients(geocoder: Service) -> None:
    response = geocoder.send("POST", "/geocode", json={"rows": [], "progress": {}})
    body = problem(response, 422, "arguments-invalid")
    assert [fault["pointer"] for fault in body["errors"]] == ["#/progress"]


# Idempotency-Key.


@pytest.mark.parametrize("again", ['"order 17"', "order 17", '"order 17";a=1'])
def test_a_key_seen_before_gets_the_first_job_again(geocoder: Service, again: str) -> None:
    first = geocoder.send(
        "POST",
        "/geocode",
        {"Idempotency-Key": '"order 17"'},
        json={"rows": ["Bern"], "near": {"name": "a", "height": 1.0}},
    )
    # The same body, with other white space and other order.
    second = geocoder.send(
        "POST",
        "/geocode",
        {"Idempotency-Key": again, "Content-Type": "application/json"},
        content=b'{ "near": {"height": 1, "name": "a"},\n"rows":["Bern"]}',
    )
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert geocoder.jobs.run() == 1


def test_without_a_wait_the_answer_is_202_even_if_the_first_job_is_final(
    geocoder: Service,
) -> None:
    headers = {"Idempotency-Key": "order-17"}
    geocoder.send("POST", "/geocode", headers, json={"rows": ["a"]})
    geocoder.jobs.run()
    again = geocoder.send("POST", "/geocode", headers, json={"rows": ["a"]})
    assert (again.status_code, again.json()["status"]) == (202, "succeeded")
    waited = headers | {"Prefer": "wait=0"}
    assert geocoder.send("POST", "/geocode", waited, json={"rows": ["a"]}).status_code == 200


def test_a_key_with_another_body_is_refused(geocoder: Service) -> None:
    headers = {"Idempotency-Key": "order-17"}
    assert geocoder.send("POST", "/geocode", headers, json={"rows": ["a"]}).status_code == 202
    response = geocoder.send("POST", "/geocode", headers, json={"rows": ["b"]})
    assert "order-17" in problem(response, 422, "idempotency-key-reused")["detail"]
    assert geocoder.jobs.run() == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "caf\u00e9", '"a\tb"'])
def test_a_key_that_cannot_be_one_is_refused(geocoder: Service, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    response = geocoder.send("POST", "/geocode", headers, json={"rows": ["a"]})
    problem(response, 400, "idempotency-key-invalid")


# What is wrong with a request.


def test_each_fault_has_a_pointer(geocoder: Service) -> None:
    response = geocoder.send(
        "POST", "/geocode", json={"rows": ["a", 7], "near": {"height": "x"}, "a/b~c": 1}
    )
    body = problem(response, 422, "arguments-invalid")
    assert {fault["pointer"] for fault in body["errors"]} == {
        "#/rows/1",
        "#/near/name",
        "#/near/height",
        "#/a~1b~0c",
    }
    assert all(fault["detail"] for fault in body["errors"])


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"3"])
def test_a_body_that_is_no_object_is_refused(geocoder: Service, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    body = problem(
        geocoder.send("POST", "/geocode", headers, content=content), 422, "arguments-invalid"
    )
    assert [fault["pointer"] for fault in body["errors"]] == ["#"]


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b'{"rows": [}', b"[" * 100_000, b'{"rows":["\\ud800"]}']
)
def test_a_body_that_is_no_json_is_refused(geocoder: Service, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    problem(geocoder.send("POST", "/geocode", headers, content=content), 400, "json-invalid")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type_is_refused(geocoder: Service, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = geocoder.send("POST", "/geocode", headers, content=b'{"rows": []}')
    problem(response, 415, "media-type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/ld+json"])
def test_other_names_of_json_are_taken(geocoder: Service, kind: str) -> None:
    headers = {"Content-Type": kind}
    response = geocoder.send("POST", "/geocode", headers, content=b'{"rows": []}')
    assert response.status_code == 202


def test_a_body_over_the_limit_is_refused() -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        yield b'{"rows": []}'
        for _ in range(size - 12):
            yield b" "

    with service(body_limit=100) as small:
        headers = {"Content-Type": "application/json"}
        long = b'{"rows": []}' + b" " * 89
        problem(small.send("POST", "/geocode", headers, content=long), 413, "body-too-large")
        response = small.send("POST", "/geocode", headers, content=chunks(101))
        problem(response, 413, "body-too-large")
        response = small.send("POST", "/geocode", headers, content=chunks(100))
        assert response.status_code == 202
        fits = small.send("POST", "/geocode", headers, content=long[:-1])
        assert fits.status_code == 202


def test_a_full_queue_is_503(geocoder: Service) -> None:
    for _ in range(3):
        geocoder.submit(rows=[])
    response = geocoder.send("POST", "/geocode", json={"rows": []})
    assert "default" in problem(response, 503, "queue-full")["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert geocoder.send("POST", "/count").status_code == 202
    geocoder.jobs.run()
    geocoder.submit(rows=[])


class Broken:
    """A runtime whose store fails, from the n-th call on."""

    def __init__(self, runtime: Runtime, calls: int, seconds: float | None = None) -> None:
        self.runtime = runtime
        self.calls = calls
        self.seconds = seconds

    def _count(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise Unavailable("disk full: /secret/path")

    async def source(self) -> Any:  # noqa: ANN401
        return self

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        self._count()
        return await self.runtime.accept(jobs, max_queued=max_queued)

    async def job(self, job: str) -> Job | None:
        self._count()
        return await self.runtime.job(job)

    async def wait(self, job: str, seconds: float | None) -> Job:
        self._count()
        return await self.runtime.wait(job, seconds)

    async def cancel(self, job: str) -> Job:
        self._count()
        return await self.runtime.cancel(job)

    async def queue_seconds(self, queue: str) -> float | None:
        self._count()
        return self.seconds


def test_a_store_that_fails_is_503(geocoder: Service) -> None:
    geocoder.shared.use_runtime(Broken(geocoder.jobs, 0).source)
    for method, path in (("POST", "/geocode"), ("GET", "/jobs/a"), ("DELETE", "/jobs/a")):
        response = geocoder.send(method, path, json={"rows": ["a"]})
        problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"
        assert "secret" not in response.text


def test_a_store_that_fails_after_it_accepted_loses_nothing(geocoder: Service) -> None:
    geocoder.shared.use_runtime(Broken(geocoder.jobs, 1).source)
    response = geocoder.send("POST", "/geocode", {"Prefer": "wait=3"}, json={"rows": []})
    assert response.status_code == 202
    assert geocoder.jobs.run() == 1


@pytest.mark.parametrize(("seconds", "pause"), [(None, 1), (0.2, 1), (7.1, 8), (1e6, 60)])
def test_retry_after_is_what_was_measured(
    geocoder: Service, seconds: float | None, pause: int
) -> None:
    geocoder.shared.use_runtime(Broken(geocoder.jobs, 99, seconds).source)
    response = geocoder.send("POST", "/geocode", json={"rows": []})
    assert response.headers["retry-after"] == str(pause)
    again = geocoder.send("GET", response.json()["links"]["self"])
    assert again.headers["retry-after"] == str(pause)


# GET /jobs/{id}.


def test_a_job_can_be_looked_at_whatever_its_status(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    queued = geocoder.send("GET", job["links"]["self"])
    assert (queued.status_code, queued.json()) == (200, job)
    assert queued.headers["vary"] == "Prefer"
    assert "retry-after" in queued.headers
    geocoder.jobs.run()
    done = geocoder.send("GET", job["links"]["self"])
    assert done.status_code == 200
    assert done.json()["status"] == "succeeded"
    assert done.json()["result"] == [{"name": "Bern", "height": None}]
    assert "retry-after" not in done.headers


def test_looking_can_wait(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    response = geocoder.send("GET", job["links"]["self"], {"Prefer": "wait=5"})
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=5"
    assert response.json()["status"] == "succeeded"


@pytest.mark.parametrize("path", ["/jobs/unknown", "/jobs/unknown/result", "/jobs/a%00b%ff"])
@pytest.mark.parametrize("prefer", ["", "wait=1"])
def test_an_unknown_job_is_404(geocoder: Service, path: str, prefer: str) -> None:
    problem(geocoder.send("GET", path, {"Prefer": prefer}), 404, "job-unknown")


def test_nobody_can_list_jobs(geocoder: Service) -> None:
    geocoder.submit(rows=[])
    for path in ("/jobs", "/jobs/"):
        assert geocoder.send("GET", path).status_code in (307, 404)


# GET /jobs/{id}/result.


def test_the_bare_result(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    early = geocoder.send("GET", job["links"]["result"])
    assert (early.status_code, early.json()) == (202, job)
    assert int(early.headers["retry-after"]) >= 1
    assert early.headers["location"] == job["links"]["self"]
    geocoder.jobs.run()
    response = geocoder.send("GET", job["links"]["result"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == [{"name": "Bern", "height": None}]


def test_fetching_can_wait(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    response = geocoder.send("GET", job["links"]["result"], {"Prefer": "wait=5"})
    assert (response.status_code, response.headers["preference-applied"]) == (200, "wait=5")


def test_a_failed_job_has_no_result(geocoder: Service) -> None:
    job = geocoder.submit(rows=["nowhere"])
    geocoder.jobs.run()
    body = problem(geocoder.send("GET", job["links"]["result"]), 404, "job-failed")
    assert body["error"] == {"type": "Failed", "message": "no such place: nowhere"}
    assert body["instance"] == job["links"]["self"]
    assert "Traceback" not in str(body)


def test_a_cancelled_job_has_no_result(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    geocoder.send("DELETE", job["links"]["self"])
    body = problem(geocoder.send("GET", job["links"]["result"]), 404, "job-cancelled")
    assert body["instance"] == job["links"]["self"]


# DELETE /jobs/{id}.


def test_a_delete_cancels(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    response = geocoder.send("DELETE", job["links"]["self"])
    assert response.status_code == 202
    assert response.json()["status"] == "cancelled"
    again = geocoder.send("DELETE", job["links"]["self"])
    assert (again.status_code, again.json()) == (200, response.json())
    assert geocoder.jobs.run() == 0


def test_a_delete_of_a_final_job_changes_nothing(geocoder: Service) -> None:
    job = geocoder.submit(rows=["Bern"])
    geocoder.jobs.run()
    response = geocoder.send("DELETE", job["links"]["self"])
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")


def test_a_delete_of_an_unknown_job_is_404(geocoder: Service) -> None:
    problem(geocoder.send("DELETE", "/jobs/unknown"), 404, "job-unknown")


# The app around.


def test_links_know_where_the_app_is() -> None:
    with service("/api/v1", prefix="/work") as behind:
        response = behind.send("POST", "/geocode", json={"rows": []})
        job = response.json()
        assert response.headers["location"] == f"/api/v1/work/{job['id']}"
        assert job["links"]["result"] == f"/api/v1/work/{job['id']}/result"
        assert behind.send("GET", f"/work/{job['id']}").json()["links"] == job["links"]


def test_the_apps_own_checks_come_first() -> None:
    def check(token: str = "") -> None:
        if token != "let me in":
            raise HTTPException(401, "who are you?")

    with service(dependencies=[Depends(check)]) as guarded:
        job = guarded.submit(rows=[])
        refused = guarded.send("GET", job["links"]["self"])
        assert (refused.status_code, refused.json()) == (401, {"detail": "who are you?"})
        assert guarded.send("DELETE", job["links"]["self"]).status_code == 401
        path = job["links"]["self"] + "?token=let me in"
        assert guarded.send("GET", path).status_code == 200


def test_the_apps_own_routes_and_handlers_stay_as_they_are(geocoder: Service) -> None:
    @geocoder.app.get("/double")
    def double(number: Annotated[int, Query()]) -> int:
        return 2 * number

    assert geocoder.send("GET", "/double?number=2").json() == 4
    refused = geocoder.send("GET", "/double?number=x")
    assert refused.status_code == 422
    assert "detail" in refused.json()
    assert geocoder.send("GET", "/nowhere").json() == {"detail": "Not Found"}


def test_the_apps_own_routes_may_be_under_the_same_prefix(geocoder: Service) -> None:
    @geocoder.app.get("/jobs/of/today")
    def of_today() -> int:
        return 3

    @geocoder.app.post("/jobs/{name}")
    def import_jobs(name: str) -> str:
        return f"imported {name}"

    assert geocoder.send("GET", "/jobs/of/today").json() == 3
    assert geocoder.send("POST", "/jobs/old").json() == "imported old"
    problem(geocoder.send("GET", "/jobs/old"), 404, "job-unknown")


def test_requests_for_the_apps_own_routes_pass_those_of_jobs(
    geocoder: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    matches = Route.matches

    def count(self: Route, scope: Scope) -> tuple[Match, Scope]:
        asked.append(self.path)
        return matches(self, scope)

    geocoder.app.get("/places/Bern")(lambda: "Bern")
    monkeypatch.setattr(Route, "matches", count)
    monkeypatch.setattr(APIRoute, "matches", count)
    assert geocoder.send("GET", "/places/Bern").json() == "Bern"
    assert [path for path in asked if "{job}" in path] == []
    asked.clear()
    geocoder.send("GET", "/jobs/unknown")
    assert [path for path in asked if "{job}" in path] != []


def test_two_apps_may_share_tasks() -> None:
    shared, other = OneCopy(), FastAPI()
    shared.install(other, prefix="/queue")
    with jobs_in_memory(shared):
        transport = httpx.ASGITransport(other)

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.get("/queue/unknown")

        problem(asyncio.run(ask()), 404, "job-unknown")
