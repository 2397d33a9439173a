"""`?callback_url=`, what OpenAPI says of it, and the key that webhooks are verified with."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from onecopy import OneCopy
from onecopy.deliveries import Delivery
from onecopy.errors import CallbackRefused, DeclarationError, WebhooksNotInstalled
from onecopy.stores import DeliveryFilter
from onecopy.testing import jobs_in_memory
from onecopy.testing.tasks import MemoryRuntime
from onecopy.webhooks import Webhooks, names
from onecopy.webhooks import callbacks as module
from onecopy.webhooks.addresses import NOT_PUBLIC
from onecopy.webhooks.keys import PublicKey
from tests.http.service import new_app, service
from tests.webhooks.keys import PRIVATE

PUBLIC = "https://93.184.216.34/hooks"
MINE = "https://mine.example/all"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET", "ALLOW", "PRIVATE_KEY"):
        monkeypatch.delenv(f"ONECOPY_WEBHOOK_{name}", raising=False)
    monkeypatch.setenv("ONECOPY_STATE_DIR", str(tmp_path))


def resolving(monkeypatch: pytest.MonkeyPatch, found: Sequence[str] | OSError | None) -> None:
    """Have names lead there; None: the answer never comes."""

    async def resolve(_host: str) -> Sequence[str]:
        if found is None:
            await asyncio.Event().wait()
        if isinstance(found, OSError):
            raise found
        return found or ()

    monkeypatch.setattr(names, "resolve", resolve)


def deliveries(jobs: MemoryRuntime) -> list[Delivery]:
    return asyncio.run(jobs.store.deliveries.find(DeliveryFilter()))


def test_a_client_that_asks_to_be_told() -> None:
    with service() as app:
        answer = app.send("POST", f"/count?callback_url={PUBLIC}", json={})
        assert answer.status_code == 202
        assert deliveries(app.jobs) == []
        app.jobs.run()
        [delivery] = deliveries(app.jobs)
        assert delivery.url == PUBLIC
        told = json.loads(delivery.payload)
        assert told["type"] == "job.succeeded"
        job = app.send("GET", answer.headers["location"]).json()
        del job["links"]
        assert told["data"] == job
        assert told["data"]["result"] == 3


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "in ASCII"),
        ("example.com", "https://host/path"),
        ("http://example.com/", "begin with https"),
        ("ftp://example.com/", "begin with https"),
        ("https://127.0.0.1/", "no public address"),
        ("https://[::1]/", "no public address"),
        ("https://169.254.169.254/latest", "no public address"),
        ("https://2130706433/", "its host is a number"),
        ("https://me:secret@example.com/", "a name or a password"),
        ("https://example.com:22/", "no port of HTTP"),
        ("https://exa mple.com/", "in ASCII"),
        ("https://example.com/" + "a" * 3000, "longer than"),
    ],
)
def test_a_url_that_is_not_called_back(url: str, words: str) -> None:
    with service() as app:
        answer = app.send("POST", "/count", params={"callback_url": url}, json={})
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["type"] == "urn:onecopy:problem:callback-refused"
        [fault] = problem["errors"]
        assert fault["parameter"] == "callback_url"
        assert words in fault["detail"]
        assert "secret" not in answer.text
        assert app.jobs.run() == 0


def test_a_url_that_is_there_twice() -> None:
    with service() as app:
        query = f"callback_url={PUBLIC}&callback_url={MINE}"
        answer = app.send("POST", f"/count?{query}", json={})
        assert answer.status_code == 422
        assert "twice" in answer.json()["detail"]


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["::ffff:10.0.0.1"],
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    ],
)
def test_names_are_looked_up_and_a_client_does_not_learn_which_there_are(
    found: Sequence[str] | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, found)
    with service() as app:
        answer = app.send("POST", "/count?callback_url=https://hooks.example/", json={})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"detail": NOT_PUBLIC, "parameter": "callback_url"}]


@pytest.mark.parametrize(
    "found",
    [
        ["93.184.216.34", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError("too many names are being looked up"),
        None,
    ],
)
def test_a_name_that_cannot_be_looked_up_now_is_looked_up_later(
    found: Sequence[str] | OSError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    resolving(monkeypatch, found)
    with service() as app:
        answer = app.send("POST", "/count?callback_url=https://hooks.example/", json={})
        assert answer.status_code == 202


def test_a_service_that_cannot_send(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_be_installed() -> None:
        raise WebhooksNotInstalled("cryptography")

    monkeypatch.setattr(module, "must_be_installed", must_be_installed)
    with service() as app, caplog.at_level(logging.ERROR):
        answer = app.send("POST", f"/count?callback_url={PUBLIC}", json={})
        assert answer.status_code == 422
        assert "calls nobody back" in answer.json()["detail"]
        assert app.send("POST", "/count", json={}).status_code == 202
    assert "pip install 'onecopy[webhooks]'" in caplog.text


def test_other_parameters_of_the_query_are_the_apps() -> None:
    with service() as app:
        assert app.send("POST", "/count?callback=x&verbose=1", json={}).status_code == 202


def test_a_repeated_request_has_the_callbacks_of_the_first() -> None:
    with service() as app:
        headers = {"Idempotency-Key": "k"}
        first = app.send("POST", f"/count?callback_url={PUBLIC}", headers, json={})
        second = app.send("POST", f"/count?callback_url={PUBLIC}/2", headers, json={})
        assert first.json()["id"] == second.json()["id"]
        app.jobs.run()
        assert [each.url for each in deliveries(app.jobs)] == [PUBLIC]


# From Python.


def run(app: OneCopy, work: Callable[[MemoryRuntime], Awaitable[Any]]) -> list[str]:
    """Do something with jobs in memory, run them, and return who is told."""
    with jobs_in_memory(app) as jobs:

        async def whole() -> list[str]:
            await work(jobs)
            await jobs.run_async()
            found = await jobs.store.deliveries.find(DeliveryFilter())
            return sorted(each.url for each in found)

        return asyncio.run(whole())


def test_callbacks_of_all_of_a_task_and_of_one_job() -> None:
    shared = OneCopy(webhooks=Webhooks(urls=[MINE]))

    @shared.task
    def plain() -> int:
        return 1

    @shared.task(callbacks=["https://mine.example/told", MINE])
    def told() -> int:
        return 2

    assert run(shared, lambda _: plain.submit()) == [MINE]
    assert run(shared, lambda _: told.submit()) == [MINE, "https://mine.example/told"]
    mine = told.options(callback_url=PUBLIC)
    assert run(shared, lambda _: mine.submit()) == [
        PUBLIC,
        MINE,
        "https://mine.example/told",
    ]
    assert run(shared, lambda _: mine.submit_many([(), ()])) == sorted(
        2 * [PUBLIC, MINE, "https://mine.example/told"]
    )


def test_nobody_is_told_without_being_asked_for() -> None:
    shared = OneCopy()

    @shared.task
    def plain() -> int:
        return 1

    assert run(shared, lambda _: plain.submit()) == []


def test_urls_of_the_apps_own_that_cannot_be_called() -> None:
    shared = OneCopy(webhooks=Webhooks(allow="127.0.0.0/8"))

    @shared.task(callbacks=["http://127.0.0.1:8000/"])
    def local() -> None: ...

    with pytest.raises(CallbackRefused, match="https"):

        @OneCopy().task(callbacks=["http://127.0.0.1:8000/"])
        def refused() -> None: ...

    with pytest.raises(DeclarationError, match="callbacks="):

        @shared.task(callbacks="https://example.com/")
        def text() -> None: ...

    with pytest.raises(CallbackRefused):
        local.options(callback_url="example.com")
    with pytest.raises(CallbackRefused):
        run(shared, lambda _: local.options(callback_url="https://10.0.0.1/").submit())


# The key.


def test_the_key_is_the_one_that_webhooks_are_signed_with(tmp_path: Path) -> None:
    with service() as app:
        answer = app.send("GET", "/jobs/webhook-key")
        assert answer.status_code == 200
        key = answer.json()["public_key"]
        assert PublicKey.read(key)
        assert app.send("GET", "/jobs/webhook-key").json() == {"public_key": key}
        assert Webhooks().key().public == key
        assert (tmp_path / "webhook-key").exists()


def test_a_key_that_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONECOPY_WEBHOOK_PRIVATE_KEY", PRIVATE.write())
    with service(prefix="/work") as app:
        assert app.send("GET", "/work/webhook-key").json() == {"public_key": PRIVATE.public}
        assert not (tmp_path / "webhook-key").exists()


def test_a_key_that_cannot_be_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "webhook-key").write_text("damaged")
    with service() as app:
        answer = app.send("GET", "/jobs/webhook-key")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:onecopy:problem:unavailable"
        assert str(tmp_path) not in answer.text
    assert "webhook-key is damaged" in caplog.text


# OpenAPI.


def test_the_callback_is_described() -> None:
    shared, app = new_app()
    shared.install(app)
    operation = app.openapi()["paths"]["/geocode"]["post"]
    [(expression, told)] = operation["callbacks"]["outcome"].items()
    assert expression == "{$request.query.callback_url}"
    body = told["post"]["requestBody"]["content"]["application/json"]
    job = body["schema"]["properties"]["data"]
    assert job["properties"]["result"]["type"] == "array"
    assert "links" not in job["properties"]
    assert set(body["example"]["data"]) <= set(job["properties"])
    assert {each["name"] for each in told["post"]["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    key = app.openapi()["paths"]["/jobs/webhook-key"]["get"]["responses"]
    assert "public_key" in key["200"]["content"]["application/json"]["example"]
