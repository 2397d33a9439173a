import asyncio
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onecopy.cli import webhooks
from onecopy.deliveries import Delivery, Tried, Try
from onecopy.jobs import Cancel, Job, new_id
from onecopy.stores import DeliveryFilter
from onecopy.stores.sqlite import SQLiteStore
from onecopy.webhooks import verify
from tests.cli.terminal import Terminal, onecopy
from tests.running import service, wait_until
from tests.server.jobs_app import Jobs
from tests.webhooks.keys import SECRET
from tests.webhooks.listening import Listener, listening

A, B = "https://a.example/hook", "https://b.example/hook?token=1"
NOW = time.time()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without a store; the environment is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    for name in ("ONECOPY_STORE", "ONECOPY_WEBHOOK_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONECOPY_STATE_DIR", ".onecopy")
    monkeypatch.setenv("ONECOPY_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("ONECOPY_WEBHOOK_ALLOW", "127.0.0.0/8")
    return tmp_path


@pytest.fixture
def receiver() -> Generator[Listener]:
    with listening() as started:
        yield started


def record(*tries: int | None, url: str = A, at: float = NOW) -> Delivery:
    """Make a delivery on disk that was tried with these results."""

    async def make() -> Delivery:
        store = SQLiteStore(".onecopy/jobs.sqlite3")
        await store.open()
        job = Job(
            id=new_id(), task="resize", arguments="{}", created_at=at, due_at=at, callbacks=(url,)
        )
        await store.accept([job])
        await store.change([(job.id, Cancel())], now=at)
        [made] = await store.deliveries.find(DeliveryFilter(job=job.id))
        for status in tries:
            [taken] = await store.deliveries.take({made.receiver: 1}, now=at, until=at + 9)
            error = None if status == 200 else "no answer" if status is None else f"said {status}"
            outcome = Try(at, status, error, 0.25)
            change = Tried(taken.token or "", outcome, at)
            made = await store.deliveries.change(made.id, change, now=at)
        await store.close()
        return made

    return asyncio.run(make())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(webhooks.command, arguments)


def listed(*arguments: str) -> list[Any]:
    result = run("list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_listing_by_each_condition(folder: Path) -> None:
    old = record(200, at=NOW - 7200)
    failed = record(*[500] * 10, url=B)
    gone = record(410)
    pending = record(url=B)
    assert [each["id"] for each in listed()] == [pending.id, gone.id, failed.id, old.id]
    assert [each["id"] for each in listed("--status", "failed")] == [failed.id]
    assert len(listed("--status", "disabled", "--status", "delivered")) == 2
    assert [each["id"] for each in listed("--url", B)] == [pending.id, failed.id]
    assert [each["id"] for each in listed("--job", gone.job)] == [gone.id]
    assert [each["id"] for each in listed("--until", "1h")] == [old.id]
    assert len(listed("--since", "1h")) == 3
    shown = run("list", "--limit", "2")
    assert "more than these 2" in shown.output
    [only] = listed("--job", failed.job)
    assert only["type"] == "job.cancelled"
    assert len(only["tries"]) == 10
    assert only["tries"][0]["error"] == "said 500"


def test_the_list_for_people(folder: Path) -> None:
    record(None, 503)
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["id", "type", "to", "status", "tries", "made", "note"]
    assert lines[1].endswith("said 503")
    assert "a.example" in lines[1]


def test_showing_one(folder: Path) -> None:
    made = record(None, 200, url=B)
    shown = run("show", made.id).output
    for words in (B, "delivered", "no answer", "answered 200", '"type": "job.cancelled"'):
        assert words in shown
    found = json.loads(run("show", made.id, "--json").stdout)
    assert found["payload"] == json.loads(made.payload)
    assert "token" not in found


def test_on_a_narrow_terminal(folder: Path) -> None:
    made = record(500)
    with Terminal("webhooks", "list", columns=80, folder=folder) as terminal:
        output = terminal.end()
    assert made.id in output
    assert all(len(line) <= 80 for line in output.splitlines())


def test_what_is_not_there(folder: Path) -> None:
    missing = run("list")
    assert missing.exit_code == 1
    assert "there is no store" in missing.output
    record()
    for command in ("show", "replay"):
        result = run(command, "msg_unknown")
        assert result.exit_code == 1
        assert "there is no webhook msg_unknown" in result.output
    assert run("list", "--status", "failed").output == "no webhooks\n"


def test_replaying(folder: Path) -> None:
    failed, other = record(*[500] * 10), record(*[500] * 10, url=B)
    gone = record(410, url="https://c.example/")
    assert run("replay", failed.id).output == f"webhook {failed.id} is sent again\n"
    assert [each["id"] for each in listed("--status", "pending")] == [failed.id]
    assert run("replay", "--failed", "--url", A).output == "0 webhooks sent again\n"
    assert run("replay", "--failed", "--disabled").output == "2 webhooks sent again\n"
    assert {each["id"] for each in listed("--status", "pending")} == {failed.id, other.id, gone.id}


def test_what_to_replay_has_to_be_said(folder: Path) -> None:
    made = record(500)
    for arguments in ([], [made.id, "--failed"], [made.id, "--since", "1h"]):
        assert run("replay", *arguments).exit_code == 2


def test_many_are_replayed_once_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecopy.cli.webhooks_store._AT_ONCE", 2)
    for _ in range(5):
        record(*[500] * 10)
    assert run("replay", "--failed").output == "5 webhooks sent again\n"


def test_trying_out_a_receiver(folder: Path, receiver: Listener) -> None:
    result = run("test", receiver.url)
    assert result.exit_code == 0
    assert result.output.startswith("answered 200 after")
    [got] = receiver.got
    assert verify(got.body, got.headers, SECRET)["type"] == "webhook.test"
    receiver.status = 500
    result = run("test", receiver.url)
    assert result.exit_code == 1
    assert "answered 500" in result.output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("example.com", "write it as https://host/path"),
        ("https://10.0.0.1/", "no public address"),
        ("http://127.0.0.1:1/", "no port of HTTP"),
    ],
)
def test_trying_out_what_may_not_be_called(folder: Path, url: str, words: str) -> None:
    run = onecopy("webhooks", "test", url, folder=folder)
    assert run.returncode == 1
    assert words in run.stderr
    assert "Traceback" not in run.stderr


APP = """
from fastapi import FastAPI
from onecopy import OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)

@shared.task
def double(number: int) -> int:
    return 2 * number

app.post("/double")(double.endpoint)
"""


def test_a_running_service_sends_again_what_is_replayed(folder: Path, receiver: Listener) -> None:
    (folder / "work.py").write_text(APP)
    receiver.status = 410
    with service(folder, "work:app", "--workers", "1", "--no-access-log") as running:
        status, _ = Jobs(running).ask("POST", f"/double?callback_url={receiver.url}", {"number": 1})
        assert status == 202
        [made] = wait_until(lambda: listed("--status", "disabled") or None)
        receiver.status = 200
        assert run("replay", made["id"]).exit_code == 0
        wait_until(lambda: listed("--status", "delivered") or None)
        first, second = receiver.got
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == made["id"]
        assert first.body == second.body
