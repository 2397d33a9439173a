"""Jobs from end to end: `onecopy run`, its job workers, HTTP and Python."""

import asyncio
import concurrent.futures
import os
import signal
import socket
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from onecopy.errors import Busy
from onecopy.execution.calls import BACKLOG, socket_name
from onecopy.execution.ports import Call
from tests.running import Service, alive, service, wait_until
from tests.server.jobs_app import TASKS, Jobs

LATE = 10.0
"""Seconds that nothing takes on a busy machine, and a third of what it takes to miss a lease."""
OPTIONS = ["work:app", "--workers", "2", "--no-access-log"]


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "work.py").write_text(TASKS)
    with service(folder, *OPTIONS, "--job-workers", "2") as run:
        yield run


@pytest.fixture
def jobs(shared_run: Service) -> Jobs:
    """A service with two job workers; earlier tests have used it."""
    wait_until(lambda: len(shared_run.pids("job")) == 2)
    found = Jobs(shared_run)
    found.forget()
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with the app, for a service of the test's own."""
    (tmp_path / "work.py").write_text(TASKS)
    return tmp_path


# What is meant to happen.


def test_submit_over_http_wait_and_result(jobs: Jobs) -> None:
    job = jobs.do("count", names=["word 7", "word 299999", "nothing"])
    assert job["result"] == [[7, 8], [299999, 300000], None]
    assert job["progress"] == {"done": 3, "total": 3, "message": None}
    assert jobs.ask("GET", f"/jobs/{job['id']}/result") == (200, job["result"])
    assert jobs.kinds(job["id"]) == ["accepted", "claimed", "succeeded"]


def test_submit_from_python(jobs: Jobs) -> None:
    assert jobs.run.get("/submit/one") == "one"
    assert jobs.run.get("/submit_sync/two") == ["two", "succeeded"]


def test_retries_back_off_until_it_succeeds(jobs: Jobs) -> None:
    job = jobs.do("flaky", until=3)
    assert (job["status"], job["result"], job["attempt"]) == ("succeeded", 3, 3)
    kinds = ["accepted", "claimed", "retry", "claimed", "retry", "claimed", "succeeded"]
    assert jobs.kinds(job["id"]) == kinds
    first, second, third = (float(note.split()[1]) for note in jobs.notes())
    assert 0.025 <= second - first < LATE
    assert 0.05 <= third - second < LATE


def test_attempts_are_bounded_and_the_last_failure_is_told(jobs: Jobs) -> None:
    job = jobs.do("flaky", until=99)
    assert (job["status"], job["attempt"]) == ("failed", 4)
    assert job["error"] == {"type": "ValueError", "message": "not yet: 4"}


@pytest.mark.parametrize(
    ("task", "message"), [("picky", "not worth another try"), ("hopeless", "it is of no use")]
)
def test_failures_that_another_try_would_not_mend(jobs: Jobs, task: str, message: str) -> None:
    job = jobs.do(task)
    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"]["message"] == message


def test_a_task_says_when_to_try_again(jobs: Jobs) -> None:
    assert jobs.do("later")["attempt"] == 2
    first, second = (float(note.split()[1]) for note in jobs.notes())
    assert 0.7 <= second - first < LATE


def test_delay(jobs: Jobs) -> None:
    waited, was_queued = jobs.run.get("/delayed")
    assert was_queued
    assert 0.6 <= waited < LATE


def test_priorities_and_queues(work: Path) -> None:
    options = [*OPTIONS, "--job-workers", "1"]
    with service(work, *options) as run:
        jobs = Jobs(run)
        slow = jobs.submit("slow_queue")
        blocking = jobs.submit("block", seconds=0.5)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        run.get("/priorities")
        jobs.wait(blocking)
        wait_until(lambda: len(jobs.notes()) == 6)
        assert jobs.notes()[2:] == [f"priority {number}" for number in (9, 5, 0, -5)]
        assert jobs.look(slow)["status"] == "queued"
        assert run.stop() == 0
    with service(work, *options, "--queues", "slow,default") as run:
        assert Jobs(run).wait(slow)["result"] == "slow"


def test_async_tasks_run_at_once_in_one_worker(jobs: Jobs) -> None:
    ids = [jobs.submit("nap", seconds=0.5) for _ in range(6)]
    results = [jobs.wait(job) for job in ids]
    assert {job["status"] for job in results} == {"succeeded"}
    assert len({job["result"] for job in results}) <= 2


# Limits.


def test_time_limit_is_raised_in_the_task(jobs: Jobs) -> None:
    job = jobs.do("spin", kind="raise")
    assert (job["status"], job["error"]["type"]) == ("failed", "TimeLimitReached")
    assert "limit of 0.5 s" in job["error"]["message"]
    assert jobs.notes() == ["spin 0.5"]
    assert jobs.do("spin", kind="return")["result"] == "saved"
    job = jobs.do("async_spin")
    assert (job["status"], job["error"]["type"]) == ("failed", "TimeLimitReached")


def test_task_that_cannot_be_interrupted_is_killed_after_the_grace(jobs: Jobs) -> None:
    before = set(jobs.run.pids("job"))
    ids = [jobs.submit(task) for task in ("deaf", "in_c", "async_deaf")]
    began = time.monotonic()
    for job in map(jobs.wait, ids):
        assert (job["status"], job["error"]["type"]) == ("failed", "WorkerLost"), job
        assert job["error"]["message"] == "killed: its task did not end when its time was over"
    assert time.monotonic() - began > 4
    wait_until(lambda: len(set(jobs.run.pids("job")) - before) == 2)


def test_task_that_takes_too_much_memory_is_killed(jobs: Jobs) -> None:
    job = jobs.do("greedy")
    assert (job["status"], job["attempt"]) == ("failed", 2)
    assert job["error"]["type"] == "WorkerLost"
    assert "out of memory" in job["error"]["message"]
    assert "private of a 100" in job["error"]["message"]


# Workers that die.


@pytest.mark.parametrize(
    ("task", "attempts", "words"),
    [
        ("leave", 2, "its worker exited with code 5"),
        ("crash", 1, "its worker was killed by SIGSEGV"),
    ],
)
def test_worker_that_its_task_ends(jobs: Jobs, task: str, attempts: int, words: str) -> None:
    sibling = jobs.submit("nap", seconds=0.3)
    job = jobs.do(task)
    assert (job["status"], job["attempt"]) == ("failed", attempts)
    assert job["error"] == {"type": "WorkerLost", "message": words}
    assert jobs.wait(sibling)["status"] in ("succeeded", "failed")


def test_killed_worker_is_known_at_once(jobs: Jobs) -> None:
    job = jobs.submit("block", seconds=20)
    pid = int(jobs.wait_for_note(lambda note: note.startswith("begin")).split()[1])
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    found = jobs.wait(job)
    assert time.monotonic() - began < LATE
    assert found["error"]["type"] == "WorkerLost"
    assert "was killed by SIGKILL" in found["error"]["message"]
    assert not any(note.startswith("end") for note in jobs.notes())


def test_jobs_of_workers_that_died_with_their_supervisor_are_found(work: Path) -> None:
    options = [*OPTIONS, "--job-workers", "1"]
    with service(work, *options) as run:
        jobs = Jobs(run)
        job = jobs.submit("block", seconds=60)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        (worker,) = run.pids("job")
        run.process.kill()
        wait_until(lambda: not alive(worker))
    with service(work, *options) as run:
        began = time.monotonic()
        assert Jobs(run).wait(job)["error"]["message"] == "its worker is gone"
        assert time.monotonic() - began < 10, "not only when its lease is over"


# Cancelling and stopping.


def test_cancel_while_it_is_queued(jobs: Jobs) -> None:
    job = jobs.submit("slow_queue")
    assert jobs.ask("DELETE", f"/jobs/{job}")[1]["status"] == "cancelled"
    assert jobs.kinds(job) == ["accepted", "cancelled"]
    assert jobs.ask("GET", f"/jobs/{job}/result")[0] == 404


@pytest.mark.parametrize("task", ["block", "nap"])
def test_cancel_while_it_runs(jobs: Jobs, task: str) -> None:
    job = jobs.submit(task, seconds=60)
    jobs.wait_for_note(lambda note: note.startswith("begin"))
    began = time.monotonic()
    status, _ = jobs.ask("DELETE", f"/jobs/{job}")
    assert status == 202
    assert jobs.wait(job)["status"] == "cancelled"
    assert time.monotonic() - began < LATE
    assert jobs.kinds(job) == ["accepted", "claimed", "cancelling", "cancelled"]
    assert ("nap cancelled" in jobs.notes()) == (task == "nap")


def test_a_task_may_end_by_itself_when_it_is_cancelled(jobs: Jobs) -> None:
    job = jobs.submit("patient")
    jobs.wait_for_note(lambda note: note == "patient begins")
    jobs.ask("DELETE", f"/jobs/{job}")
    assert jobs.wait(job)["status"] in ("cancelled", "succeeded")


def test_exception_of_another_jobs_cancellation_fails_the_job(jobs: Jobs) -> None:
    job = jobs.do("other", job="another")
    assert (job["status"], job["error"]["type"]) == ("failed", "JobCancelled")


def test_stop_gives_attempts_back_and_they_run_after_the_next_start(work: Path) -> None:
    options = [*OPTIONS, "--job-workers", "1", "--timeout-graceful-shutdown", "1"]
    with service(work, *options) as run:
        jobs = Jobs(run)
        job = jobs.submit("block", seconds=4)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        assert run.stop() == 0
    with service(work, *options) as run:
        jobs = Jobs(run)
        found = jobs.wait(job)
        assert (found["status"], found["attempt"]) == ("succeeded", 1)
        assert jobs.kinds(job) == ["accepted", "claimed", "released", "claimed", "succeeded"]


def test_stop_waits_for_attempts_that_end_in_time(work: Path) -> None:
    options = [*OPTIONS, "--job-workers", "1"]
    with service(work, *options) as run:
        jobs = Jobs(run)
        job = jobs.submit("block", seconds=1)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        assert run.stop() == 0
    with service(work, *options) as run:
        assert Jobs(run).kinds(job) == ["accepted", "claimed", "succeeded"]


# Calls.


def test_call(jobs: Jobs) -> None:
    assert jobs.run.get("/call/mark") == ["result", "called"]
    assert jobs.run.get("/call/flaky") == ["JobFailed", "ValueError: not yet: 1"]
    kind, words = jobs.run.get("/call/block?argument=0.3")
    assert kind == "ResultTimeout"
    assert "0.3 s" in words
    kind, words = jobs.run.get("/call/crash")
    assert kind == "JobFailed"
    assert words.startswith("WorkerLost")
    # The work that nobody waits for any more was ended too: no worker is busy with it.
    assert jobs.run.get("/call/mark") == ["result", "called"]
    assert not any(note.startswith("end") for note in jobs.notes())


def test_call_without_a_worker(work: Path) -> None:
    with service(work, *OPTIONS, "--job-workers", "0") as run:
        kind, words = run.get("/call/mark")
        assert kind == "NoWorker"
        assert "mark" in words


def test_calls_wait_for_a_free_place_and_do_not_overlap(jobs: Jobs) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(jobs.run.get, ["/call/mark"] * 40))
    assert answers == [["result", "called"]] * 40


@pytest.mark.parametrize("task", ["block", "nap"])
def test_call_that_nobody_waits_for_is_ended(jobs: Jobs, task: str) -> None:
    async def scenario() -> None:
        call = Call(task, "default", '{"seconds": 60}', 90.0)
        calling = asyncio.create_task(jobs.caller().call(call))
        await asyncio.to_thread(jobs.wait_for_note, lambda note: note.startswith("begin"))
        calling.cancel()

    asyncio.run(scenario())
    busy = [jobs.submit("block", seconds=0.1) for _ in range(4)]
    began = time.monotonic()
    assert {jobs.wait(job)["status"] for job in busy} == {"succeeded"}
    assert time.monotonic() - began < 4, "the worker was free at once"
    assert ("nap cancelled" in jobs.notes()) == (task == "nap")


def test_calls_over_the_bound_are_told_that_all_are_busy(jobs: Jobs) -> None:
    def both_are_busy() -> bool:
        # Not two notes: one worker leaves two as well, when it has ended its first call.
        kinds = [note.split()[0] for note in jobs.notes()]
        return kinds.count("begin") - kinds.count("end") == 2

    async def scenario() -> list[object]:
        caller = jobs.caller()
        block = Call("block", "default", '{"seconds": 3}', 20.0)
        # More than there are workers: one that has just begun to listen may take two in a row.
        blocking = [asyncio.create_task(caller.call(block)) for _ in range(4)]
        await asyncio.to_thread(wait_until, both_are_busy, what="two busy workers")
        mark = Call("mark", "default", '{"text": "called"}', 20.0)
        calls = [caller.call(mark) for _ in range(BACKLOG + 11)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(*blocking)
        return [str(answer) for answer in answers]

    answers = asyncio.run(scenario())
    # The kernel lets one more wait than it is told to; up to two of those that block wait too.
    called, busy = answers.count('"called"'), answers.count(str(Busy("mark")))
    assert called + busy == BACKLOG + 11
    assert BACKLOG - 1 <= called <= BACKLOG + 1


def test_caller_that_says_nothing_keeps_no_job_waiting(work: Path) -> None:
    with service(work, *OPTIONS, "--job-workers", "1") as run:
        jobs = Jobs(run)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(work / ".onecopy" / socket_name(run.pid)))
            job = jobs.submit("mark", text="waits for the caller")
        assert jobs.wait(job, 4)["status"] == "succeeded"


# Bad manners.


@pytest.mark.parametrize(
    ("task", "kind", "words"),
    [
        ("mute", "Mute", "its message cannot be had: RuntimeError"),
        ("surrogate", "ValueError", "half a character: \\ud800"),
        ("wrong_result", "ResultInvalid", "wrong_result"),
        ("half_result", "ResultInvalid", "half_result"),
        ("huge_result", "ResultTooLarge", "characters of JSON"),
        ("sys_exit", "SystemExit", "3"),
    ],
)
def test_what_cannot_be_told(jobs: Jobs, task: str, kind: str, words: str) -> None:
    before = jobs.run.pids("job")
    job = jobs.do(task)
    assert job["status"] == "failed"
    assert job["error"]["type"].rpartition(".")[2] == kind, job
    assert words in job["error"]["message"]
    assert jobs.run.pids("job") == before


def test_progress_that_cannot_be_told(jobs: Jobs) -> None:
    job = jobs.do("wrong_progress")
    assert job["progress"] == {"done": 2, "total": 3, "message": "7"}
    assert job["error"]["message"] == "progress cannot be done=nan: report a finite number"
    job = jobs.do("count", names=["word 1"] * 3)
    assert job["progress"]["done"] == 3


def test_output_of_tasks_is_seen_at_once(jobs: Jobs) -> None:
    before = jobs.run.log.count("said by a task")
    assert jobs.do("talk")["result"] in jobs.run.pids("job")
    wait_until(lambda: jobs.run.log.count("said by a task") == before + 1)


@pytest.mark.parametrize("how", ["return", "raise"])
def test_child_of_a_task_that_comes_back_ends(jobs: Jobs, how: str) -> None:
    job = jobs.do("fork", how=how)
    assert job["status"] == "succeeded"
    assert not alive(job["result"])
    assert jobs.kinds(job["id"]) == ["accepted", "claimed", "succeeded"]


def test_child_of_a_task_ends_by_sigterm_however_soon_it_comes(jobs: Jobs) -> None:
    assert jobs.do("end_children")["result"] == [-signal.SIGTERM] * 50


def test_task_that_uses_processes(jobs: Jobs) -> None:
    assert jobs.do("multiprocess")["result"] == 55


def test_task_that_starts_a_thread(jobs: Jobs) -> None:
    assert jobs.do("thread")["result"] == "started"


def test_task_that_leaves_the_folder_leaves_it_alone(work: Path) -> None:
    with service(work, *OPTIONS, "--job-workers", "1") as run:
        jobs = Jobs(run)
        assert jobs.do("wander")["status"] == "succeeded"
        assert jobs.do("where")["result"] == str(work)


def test_deep_recursion(jobs: Jobs) -> None:
    job = jobs.do("deep", level=0)
    assert job["error"]["type"] == "RecursionError"


def test_unknown_task_is_left_for_others(jobs: Jobs) -> None:
    job = jobs.run.get("/unknown?task=of.another.app")
    jobs.run.wait_for_log("no task 'of.another.app' here")
    assert jobs.do("mark", text="goes on")["status"] == "succeeded"
    wait_until(lambda: jobs.look(job)["status"] == "queued")
    # Each worker learns once that it does not know the task, and claims it no more.
    other = jobs.run.get("/unknown?task=of.another.app")
    time.sleep(2)
    kinds = jobs.kinds(job) + jobs.kinds(other)
    assert kinds.count("claimed") == kinds.count("released") <= 4
    for each in (job, other):
        jobs.ask("DELETE", f"/jobs/{each}")
        assert jobs.wait(each)["status"] == "cancelled"


def test_a_task_has_so_many_attempts_at_a_time_as_it_says(jobs: Jobs) -> None:
    ids = [jobs.submit("few", seconds=0.3) for _ in range(8)]
    napping = jobs.submit("nap", seconds=0.01)
    assert jobs.wait(napping)["status"] == "succeeded"
    workers = [jobs.wait(job)["result"] for job in ids]
    begun: dict[int, int] = dict.fromkeys(workers, 0)
    most = 0
    for note in jobs.notes():
        kind, _, pid = note.partition(" ")
        if kind in ("few-begin", "few-end"):
            begun[int(pid)] += 1 if kind == "few-begin" else -1
            most = max(most, *begun.values())
    assert most == 2


# Many.


def test_two_workers_run_each_job_once(jobs: Jobs) -> None:
    def submit(number: int) -> str:
        return jobs.submit("mark", text=f"n {number}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(submit, range(200)))
    for job in ids:
        assert jobs.wait(job)["attempt"] == 1
    assert sorted(jobs.notes()) == sorted(f"n {number}" for number in range(200))


def test_web_and_job_workers_that_read_everything_hold_one_copy(work: Path) -> None:
    with service(work, "work:app", "--workers", "1", "--job-workers", "0") as run:
        run.get("/read")
        one = run.memory_held()
    with service(work, *OPTIONS, "--job-workers", "2") as run:
        jobs = Jobs(run)
        wait_until(lambda: run.get("/read") and set(_readers(run)) == set(run.pids("web")))
        ids = [jobs.submit("read_all") for _ in range(6)]
        assert {jobs.wait(job)["result"] for job in ids} == set(run.pids("job"))
        four = run.memory_held()
    each = (four - one) / 3
    assert one > 80_000_000
    assert each < one / 10, f"each further worker holds {each:,.0f} of {one:,} bytes"


def _readers(run: Service) -> list[int]:
    return [run.get("/read") for _ in range(10)]
