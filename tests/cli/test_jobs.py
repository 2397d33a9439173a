import asyncio
import json
import signal
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onecopy.cli import jobs
from onecopy.engines.local import LocalEngine
from onecopy.jobs import (
    Advance,
    Cancel,
    Change,
    Claim,
    Fail,
    Failure,
    Job,
    Lease,
    Line,
    Log,
    Progress,
    Succeed,
    new_id,
)
from onecopy.stores import change_one
from onecopy.stores.sqlite import SQLiteStore
from tests.cli.terminal import Terminal, onecopy
from tests.running import DEADLINE, Service, alive, service

APP = """
import asyncio
from pathlib import Path
from fastapi import FastAPI
from onecopy import Failed, OneCopy, Progress

shared = OneCopy()
app = FastAPI()

@shared.task
async def steps(count: int, progress: Progress) -> int:
    for done in range(count):
        progress.update(done + 1, count, f"row {done + 1}")
        await asyncio.sleep(0.05)
    return count

@shared.task
def picky(name: str) -> str:
    if not Path("allowed").exists():
        raise Failed(f"no {name} here")
    return name

app.post("/steps")(steps.endpoint)
app.post("/picky")(picky.endpoint)
shared.install(app)
"""
NOW = time.time()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without a store; the environment is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONECOPY_STORE", raising=False)
    monkeypatch.setenv("ONECOPY_STATE_DIR", ".onecopy")
    return tmp_path


def record(*histories: tuple[Job, Sequence[Change]], path: str = ".onecopy/jobs.sqlite3") -> None:
    """Make a store on disk with jobs that went through these changes, a second apart."""

    async def fill() -> None:
        store = SQLiteStore(path)
        await store.open()
        for job, changes in histories:
            await store.accept([job])
            for number, change in enumerate(changes):
                await change_one(store, job.id, change, now=job.created_at + number + 1)
        await store.close()

    asyncio.run(fill())


def job(task: str = "count", *, ago: float = 0, **given: Any) -> Job:  # noqa: ANN401 - fields
    at = NOW - ago
    fields: dict[str, Any] = {"id": new_id(), "arguments": "{}", "created_at": at, "due_at": at}
    return Job(task=task, **(fields | given))


def claim() -> Claim:
    return Claim(Lease("the-token", "worker-7", NOW + 1000))


def fail(message: str, traceback: str | None = None) -> Fail:
    return Fail("the-token", Failure("ValueError", message, traceback))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(jobs.command, arguments)


def said(*arguments: str) -> str:
    ended = run(*arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def listed(*arguments: str) -> list[str]:
    return [each["id"] for each in json.loads(said("list", "--json", *arguments))]


def test_list_filters_by_status_task_queue_and_time(folder: Path) -> None:
    old = job(ago=7200)
    failed = job("send", ago=1000)
    slow = job(ago=10, queue="slow")
    record((old, []), (failed, [claim(), fail("no")]), (slow, [Cancel()]))
    assert listed() == [slow.id, failed.id, old.id]
    assert listed("--status", "failed", "--status", "queued") == [failed.id, old.id]
    assert listed("--task", "send") == [failed.id]
    assert listed("--queue", "slow") == [slow.id]
    assert listed("--since", "1h") == [slow.id, failed.id]
    assert listed("--until", "1h") == [old.id]
    iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(NOW - 100))
    assert listed("--since", iso) == [slow.id]
    assert listed("--task", "unknown") == []


def test_list_in_a_pipe_is_a_line_for_each_job(folder: Path) -> None:
    first, second = job(ago=60), job("send", ago=30, max_attempts=3)
    record((first, []), (second, [claim(), fail("no\nsecond line")]))
    ended = onecopy("jobs", "list", "--limit", "1", folder=folder)
    title, *lines = ended.stdout.splitlines()
    assert title.split() == ["id", "task", "queue", "status", "attempt", "accepted", "ran", "note"]
    assert len(lines) == 1
    assert lines[0].split()[:5] == [second.id, "send", "default", "failed", "1/3"]
    assert lines[0].rstrip().endswith("1.00 s  ValueError: no")
    assert "more than these 1" in ended.stderr


def test_list_fits_a_narrow_terminal(folder: Path) -> None:
    record((job(), []))
    with Terminal("jobs", "list", columns=60, folder=folder) as terminal:
        lines = terminal.end().splitlines()
    assert "queued" in terminal.text
    assert max(map(len, lines)) <= 60


def test_show_tells_all_of_a_failed_job(folder: Path) -> None:
    trace = 'Traceback (most recent call last):\n  File "app.py", line 3\nValueError: no\n'
    failed = job(arguments='{"names": ["Zürich"]}')
    record((failed, [claim(), Advance("the-token", Progress(1, 2)), fail("no", trace)]))
    text = said("show", failed.id)
    for part in (failed.id, "Zürich", 'File "app.py", line 3', "by worker-7", "+3.000 s  failed"):
        assert part in text
    shown = json.loads(said("show", failed.id, "--json"))
    assert shown["arguments"] == {"names": ["Zürich"]}
    assert shown["error"] == {"type": "ValueError", "message": "no", "traceback": trace}
    assert [each["kind"] for each in shown["history"]] == [
        "accepted",
        "claimed",
        "progress",
        "failed",
    ]


def test_the_right_to_end_an_attempt_is_never_shown(folder: Path) -> None:
    running = job()
    record((running, [claim()]))
    for arguments in (["list"], ["list", "--json"], ["show", running.id]):
        text = said(*arguments)
        assert "running" in text
        assert "the-token" not in text
    assert "the-token" not in said("show", "--json", running.id)


def test_what_a_job_says_cannot_command_the_terminal(folder: Path) -> None:
    escape = "\x1b]0;owned\x07 \x9b31m \ud800"
    bad = job(arguments=json.dumps({"name": "\x9b2J"}, ensure_ascii=False))
    record((bad, [claim(), fail(escape, f"Traceback\n  {escape}")]))
    for arguments in (["list"], ["show", bad.id], ["show", bad.id, "--json"]):
        ended = onecopy("jobs", *arguments, folder=folder)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert not {"\x1b", "\x07", "\x9b"} & set(ended.stdout)
        assert "owned" in ended.stdout


def test_the_history_has_progress_and_what_was_logged(folder: Path) -> None:
    line = Line(NOW + 1.5, "WARNING", "app.rows", "row 7:\n\x1b[31mno street")
    known = job()
    record((known, [claim(), Log("the-token", [line]), Advance("the-token", Progress(7, 9))]))
    text = said("show", known.id)
    assert "WARNING app.rows: row 7:\n      \\x1b[31mno street\n" in text
    assert "progress: 7 of 9" in text
    history = json.loads(said("show", known.id, "--json"))["history"]
    assert history[2]["lines"][0]["at"].endswith("Z")


def test_a_large_result_is_shown_in_part(folder: Path) -> None:
    large = job()
    record((large, [claim(), Succeed("the-token", json.dumps("x" * 50_000))]))
    text = said("show", large.id)
    assert len(text) < 5_000
    assert "all of it with --json" in text
    assert len(json.loads(said("show", large.id, "--json"))["result"]) == 50_000


@pytest.mark.parametrize("dashed", ["-hJobsAreNotOptions_0123", "--jsonJobsAreNotOptions1"])
def test_an_id_may_begin_with_a_dash(folder: Path, dashed: str) -> None:
    assert len(dashed) == len(new_id())
    record((job(id=dashed), []))
    assert json.loads(said("show", dashed, "--json"))["id"] == dashed
    assert json.loads(said("show", "--json", "--", dashed))["id"] == dashed
    assert "is cancelled" in said("cancel", dashed)
    assert "queued again" in said("retry", dashed)


def test_stats_count_by_queue_and_task(folder: Path) -> None:
    done = job("send", ago=100)
    record(
        (done, [claim(), Succeed("the-token", "1")]),
        (job("send", ago=100), []),
        (job("count", ago=100, queue="slow"), [Cancel()]),
    )
    default, slow = json.loads(said("stats", "--json"))
    assert (default["queue"], default["task"]) == ("default", "send")
    assert default["counts"] == {
        "queued": 1,
        "running": 0,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
    }
    assert default["wait_seconds"] == pytest.approx(1, abs=0.01)
    assert default["run_seconds"] == pytest.approx(1, abs=0.01)
    assert (slow["queue"], slow["counts"]["cancelled"], slow["wait_seconds"]) == ("slow", 1, None)
    lines = said("stats").splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["default", "send"], ["slow", "count"]]


def test_retry_of_all_that_failed_says_how_many(folder: Path) -> None:
    failed = [job("send", ago=ago) for ago in range(230, 0, -1)]
    other, old, fine = job("count"), job("send", ago=7200), job("send")
    record(
        *((each, [claim(), fail("no")]) for each in (*failed, other, old)),
        (fine, [claim(), Succeed("the-token", "1")]),
    )
    assert said("retry", "--failed", "--task", "nobody") == "0 jobs queued again\n"
    assert said("retry", "--failed", "--task", "send", "--since", "1h") == "230 jobs queued again\n"
    assert set(listed("--status", "failed")) == {other.id, old.id}
    assert said("retry", "--failed", "--queue", "default") == "2 jobs queued again\n"
    assert listed("--status", "succeeded") == [fine.id]


def test_purge_deletes_what_has_long_been_final(folder: Path) -> None:
    old, new = job("send", ago=7200), job("send", ago=60)
    waiting, other = job("send", ago=7200), job("count", ago=7200)
    record((old, [Cancel()]), (new, [Cancel()]), (waiting, []), (other, [claim(), fail("no")]))
    assert said("purge", "--older-than", "1h", "--status", "succeeded") == "0 jobs deleted\n"
    assert said("purge", "--older-than", "1h", "--task", "send") == "1 job deleted\n"
    assert set(listed()) == {new.id, waiting.id, other.id}
    assert said("purge", "--older-than", "0s") == "2 jobs deleted\n"
    assert listed() == [waiting.id]
    assert run("purge").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "unknown"], 1, "there is no job unknown"),
        (["show", "unknown", "--follow"], 1, "there is no job unknown"),
        (["cancel", "unknown"], 1, "there is no job unknown"),
        (["retry", "unknown"], 1, "there is no job unknown"),
        (["retry"], 2, "or say --failed"),
        (["retry", "unknown", "--failed"], 2, "or say --failed"),
        (["retry", "unknown", "--task", "send"], 2, "go with --failed only"),
        (["list", "--since", "yesterday"], 2, "is no time"),
        (["list", "--status", "lost"], 2, "is not one of"),
        (["purge", "--older-than", "-1h"], 2, "is no age"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path, arguments: list[str], code: int, words: str
) -> None:
    record((job(), []))
    ended = run(*arguments)
    assert ended.exit_code == code
    assert words in ended.stderr
    assert ended.stdout == ""


def test_ids_are_not_shortened(folder: Path) -> None:
    only = job()
    record((only, []))
    assert run("show", only.id[:12]).exit_code == 1
    assert run("cancel", only.id.upper()).exit_code == 1
    assert listed("--status", "queued") == [only.id]


def test_what_is_final_is_neither_cancelled_nor_run_twice(folder: Path) -> None:
    done = job()
    record((done, [claim(), Succeed("the-token", "1")]))
    ended = run("cancel", done.id)
    assert (ended.exit_code, "has succeeded already" in ended.stderr) == (1, True)
    ended = run("retry", done.id)
    assert (ended.exit_code, "only failed or cancelled" in ended.stderr) == (1, True)


def test_no_store_is_made_by_asking(folder: Path) -> None:
    for arguments in (["list"], ["stats"], ["purge", "--older-than", "1h"]):
        ended = run(*arguments)
        assert ended.exit_code == 1
        assert "there is no store of jobs here" in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert not any(folder.iterdir())


def test_a_store_that_cannot_be_used_is_one_line(folder: Path) -> None:
    (folder / ".onecopy").mkdir()
    (folder / ".onecopy" / "jobs.sqlite3").write_bytes(b"no database" * 1000)
    ended = onecopy("jobs", "list", folder=folder)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: the store ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://", "in their process only"),
        ("nonsense://x", "names no store"),
        ("sqlite:///gone.db", "see ONECOPY_STORE"),
    ],
)
def test_a_store_that_is_not_there_by_url(folder: Path, url: str, words: str) -> None:
    ended = onecopy("jobs", "list", folder=folder, environment={"ONECOPY_STORE": url})
    assert ended.returncode == 1
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_store_is_found_by_variable_and_option(folder: Path) -> None:
    here, there = job(), job()
    record((here, []), path="elsewhere/my jobs.db")
    record((there, []), path="state/jobs.sqlite3")
    assert listed("--state-dir", "state") == [there.id]
    variable = {"ONECOPY_STATE_DIR": str(folder / "state")}
    assert there.id in onecopy("jobs", "list", folder=folder, environment=variable).stdout
    variable = {"ONECOPY_STORE": "sqlite:///elsewhere/my%20jobs.db"}
    assert here.id in onecopy("jobs", "list", folder=folder, environment=variable).stdout


def test_workers_and_followers_are_told(folder: Path) -> None:
    one, two = job(), job("send")
    record((one, [claim(), fail("no")]), (two, [claim(), fail("no")]))

    async def hear(*arguments: str) -> tuple[bool, str]:
        """Run a command; return whether the bell rang, and the job that had changed."""
        engine = LocalEngine(str(folder / ".onecopy"))
        await engine.open()
        rings = asyncio.ensure_future(engine.wait_for_ring(["default"], 2 * DEADLINE))
        told = asyncio.ensure_future(anext(engine.changes()))
        ended = await asyncio.to_thread(onecopy, "jobs", *arguments, folder=folder)
        assert ended.returncode == 0, ended.stderr
        # The command has ended: what it sent is here.
        rang, _ = await asyncio.wait([rings], timeout=0.5)
        changed = await asyncio.wait_for(told, DEADLINE)
        rings.cancel()
        await engine.close()
        return bool(rang), changed

    assert asyncio.run(hear("retry", one.id)) == (True, one.id)
    assert asyncio.run(hear("retry", "--failed")) == (True, two.id)
    assert asyncio.run(hear("cancel", two.id)) == (False, two.id)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(3), "3"),
        (Progress(0, 0), "0 of 0"),
        (Progress(1, float("nan")), "1 of nan"),
        (Progress(float("inf"), float("inf"), "all\x1b[2J"), "inf of inf, all\\x1b[2J"),
    ],
)
def test_progress_without_an_end_has_a_bar_too(
    folder: Path, progress: Progress, words: str
) -> None:
    running = job()
    record((running, [claim(), Advance("the-token", progress)]))
    with Terminal("jobs", "show", running.id, "--follow", columns=90, folder=folder) as terminal:
        terminal.wait_for(f"━ {words}")
        terminal.process.send_signal(signal.SIGINT)
        assert "Traceback" not in terminal.end()
    assert "━━━" in terminal.text


# With a service that runs.


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "tasks.py").write_text(APP)
    with service(folder, "tasks:app", "--workers", "1", "--job-workers", "1") as started:
        yield started


def submit(running: Service, task: str, **arguments: object) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/{task}",
        json.dumps(arguments).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return json.load(answer)["id"]


def command(running: Service, *arguments: str) -> str:
    ended = onecopy("jobs", *arguments, folder=running.folder)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def follow(running: Service, job: str) -> list[dict[str, Any]]:
    lines = command(running, "show", job, "--follow", "--json").splitlines()
    return [json.loads(line) for line in lines]


def test_following_shows_the_bar_until_the_job_is_final(running: Service) -> None:
    job = submit(running, "steps", count=40)
    with Terminal("jobs", "show", job, "--follow", columns=100, folder=running.folder) as terminal:
        terminal.wait_for("of 40, row")
        text = terminal.end()
        assert terminal.process.returncode == 0
    assert "━━━" in text
    assert "steps: running, attempt 1 of 1" in text
    assert "succeeded, attempt 1" in text


def test_following_in_a_pipe_ends_with_the_job(running: Service) -> None:
    job = submit(running, "steps", count=10)
    text = command(running, "show", job, "--follow")
    assert "succeeded, attempt 1" in text
    assert "status    succeeded" in text
    states = follow(running, submit(running, "steps", count=10))
    assert states[-1]["status"] == "succeeded"
    assert states[-1]["result"] == 10
    ears = [path.name.split("-")[1] for path in (running.folder / ".onecopy").glob("ear-*")]
    assert all(alive(int(pid)) for pid in ears)


def test_following_ends_with_ctrl_c_and_the_job_goes_on(running: Service) -> None:
    job = submit(running, "steps", count=1000)
    with Terminal("jobs", "show", job, "--follow", columns=100, folder=running.folder) as terminal:
        terminal.wait_for("of 1,000, row")
        terminal.process.send_signal(signal.SIGINT)
        text = terminal.end()
        assert terminal.process.returncode == 0
    assert f"job {job} goes on" in text
    assert "Traceback" not in text
    assert "it was told to end" in command(running, "cancel", job)
    last = follow(running, job)[-1]
    assert last["status"] == "cancelled"
    kinds = [each["kind"] for each in last["history"]]
    assert "cancelling" in kinds
    assert kinds[-1] == "cancelled"


def test_what_is_retried_runs_again(running: Service) -> None:
    one, two = (submit(running, "picky", name=name) for name in ("cheese", "wine"))
    error = follow(running, one)[-1]["error"]
    assert error["message"] == "no cheese here"
    assert follow(running, two)[-1]["status"] == "failed"
    (running.folder / "allowed").touch()
    assert "is queued again" in command(running, "retry", one)
    shown = follow(running, one)[-1]
    assert (shown["status"], shown["result"]) == ("succeeded", "cheese")
    assert command(running, "retry", "--failed", "--task", "picky") == "1 job queued again\n"
    assert follow(running, two)[-1]["result"] == "wine"
