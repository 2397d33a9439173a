"""Jobs under Celery's prefork pool, with Redis as its broker: as the rules of jobs have it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.redis import Redis
from tests.celery.worker import Tier, Worker, inspect
from tests.running import alive, wait_until


@pytest.fixture(scope="module")
def tier(redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Tier:
    url = redis_server.url.removesuffix("/0") + "/3"
    return Tier(tmp_path_factory.mktemp("celery"), f"celery+{url}")


@pytest.fixture
def own_tier(redis_server: Redis, tmp_path: Path) -> Tier:
    """One whose worker is the test's own."""
    url = redis_server.url.removesuffix("/0") + "/4"
    subprocess.run(["redis-cli", "-u", url, "flushdb"], check=True, stdout=subprocess.DEVNULL)
    return Tier(tmp_path, f"celery+{url}")


@pytest.fixture(scope="module")
def worker(tier: Tier) -> Iterator[Worker]:
    with Worker(tier) as running:
        yield running


@pytest.mark.usefixtures("worker")
class TestJobs:
    def test_results_of_sync_and_async_tasks(self, tier: Tier) -> None:
        assert tier.result(tier.submit("add", x=1, y=2)) == 3
        assert tier.result(tier.submit("nap_async", seconds=0.1)) == "slept"
        assert tier.result(tier.submit("read_all"))[1] == 1000

    def test_many_at_once_run_in_all_children(self, tier: Tier, worker: Worker) -> None:
        jobs = tier.submit_often("where", 20)
        answers = [tier.result(job) for job in jobs]
        assert {pid for pid, _ in answers} == set(worker.pool())

    def test_retries_and_their_events(self, tier: Tier) -> None:
        job = tier.submit("unsteady", options={"max_attempts": 3})
        assert tier.result(job) == 3
        kinds = [event.kind for event in tier.events(job)]
        assert kinds == [
            "accepted",
            *("claimed", "retry") * 2,
            "claimed",
            "succeeded",
        ]

    def test_failures_and_their_words(self, tier: Tier, worker: Worker) -> None:
        failed = tier.wait(tier.submit("hopeless", options={"max_attempts": 6}))
        assert (failed.status, failed.attempt) == ("failed", 1)
        assert failed.failure is not None
        assert failed.failure.message == "there is no such place"
        left = tier.wait(tier.submit("leave"))
        assert left.failure is not None
        assert left.failure.type == "SystemExit"
        wrong = tier.wait(tier.submit("add", x="one", y=2))
        assert wrong.failure is not None
        assert wrong.failure.type == "ArgumentsInvalid"
        worker.wait_for_log(r"Task hopeless\[\S+\] raised unexpected: Failed")

    def test_progress_is_recorded(self, tier: Tier) -> None:
        job = tier.submit("nap", seconds=0.3)
        assert tier.result(job) == "slept"
        reports = [event for event in tier.events(job) if event.kind == "progress"]
        assert [event.data["progress"]["message"] for event in reports] == ["asleep"]

    def test_a_time_limit(self, tier: Tier) -> None:
        began = time.monotonic()
        job = tier.wait(tier.submit("too_long", options={"timeout": 0.3}))
        assert job.failure is not None
        assert job.failure.type == "TimeLimitReached"
        assert time.monotonic() - began < 10

    def test_what_does_not_end_when_its_time_is_over_is_killed(self, tier: Tier) -> None:
        job = tier.wait(tier.submit("in_c", options={"timeout": 0.3}))
        assert job.failure is not None
        assert job.failure.message == "killed: its task did not end when its time was over"

    @pytest.mark.parametrize("task", ["nap", "nap_async"])
    def test_cancelling_what_runs(self, tier: Tier, task: str) -> None:
        job = tier.submit(task, seconds=30)
        tier.wait_for_status(job, "running")
        tier.use(lambda runtime: runtime.cancel(job))
        assert tier.wait(job).status == "cancelled"

    def test_a_delayed_job_is_published_when_it_is_due(self, tier: Tier) -> None:
        due = time.time() + 1.5
        job = tier.submit("add", options={"due_at": due}, x=1, y=1)
        found = tier.wait(job)
        assert found.started_at is not None
        assert 0 <= found.started_at - due < 5

    def test_a_megabyte_of_arguments(self, tier: Tier) -> None:
        assert tier.result(tier.submit("size", text="x" * 1_000_000)) == 1_000_000

    def test_other_queues(self, tier: Tier) -> None:
        assert tier.result(tier.submit("slowly", options={"queue": "slow"})) == "done"

    def test_a_job_that_is_delivered_twice_runs_once(self, tier: Tier, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        job = tier.submit("count", path=str(trace))
        found = tier.job(job)
        for _ in range(5):
            tier.use(lambda runtime: runtime.engine.ring([found]))
        tier.wait(job)
        tier.result(tier.submit("add", x=1, y=1))
        assert trace.read_text() == "x"
        assert [event.kind for event in tier.events(job)] == ["accepted", "claimed", "succeeded"]

    def test_celery_knows_the_tasks_by_their_names(self, tier: Tier) -> None:
        assert {"add", "nap", "slowly"} <= set(inspect(tier, "registered"))
        job = tier.submit("nap", seconds=3)
        tier.wait_for_status(job, "running")
        (active,) = inspect(tier, "active")
        assert (active["id"], active["name"]) == (job, "nap")
        tier.use(lambda runtime: runtime.cancel(job))

    def test_a_killed_child_is_told_with_its_cause(self, tier: Tier, worker: Worker) -> None:
        job = tier.submit("nap", options={"max_attempts": 2}, seconds=1)
        # What it has not begun is given back, and does not count.
        running = wait_until(lambda: found if (found := tier.job(job)).progress else None)
        assert running.lease is not None
        pid = int(running.lease.worker.partition("#")[2].partition("@")[0])
        os.kill(pid, signal.SIGKILL)
        assert tier.result(job) == "slept"
        retry = next(event for event in tier.events(job) if event.kind == "retry")
        assert retry.data["error"]["type"] == "WorkerLost"
        assert "was killed by SIGKILL" in retry.data["error"]["message"]
        wait_until(lambda: len(worker.pool()) == 2)

    def test_a_keeper_that_is_killed_is_replaced(self, tier: Tier, worker: Worker) -> None:
        def keepers() -> list[int]:
            return [pid for pid, name in worker.children().items() if name == "onecopy keeper"]

        (first,) = keepers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: keepers() not in ([], [first]))
        due = time.time() + 1.2
        assert tier.result(tier.submit("add", options={"due_at": due}, x=2, y=2)) == 4


def test_children_share_one_copy(own_tier: Tier) -> None:
    sizes: list[int] = []
    for children in (1, 4):
        environment = {"NUMBERS": "400000"}
        with Worker(own_tier, concurrency=children, environment=environment) as worker:
            seen: set[int] = set()
            while len(seen) < children:
                jobs = own_tier.submit_often("read_all", children)
                seen |= {own_tier.result(job)[0] for job in jobs}
            sizes.append(worker.pss())
            assert "Sealed" in worker.log
    one, four = sizes
    assert one > 80e6
    assert four < 1.35 * one


def test_a_worker_that_is_killed_whole(own_tier: Tier) -> None:
    job = own_tier.submit("nap", options={"max_attempts": 2}, seconds=1)
    with Worker(own_tier, concurrency=1) as worker:
        wait_until(lambda: own_tier.job(job).progress)
        below = [*worker.children()]
        os.kill(worker.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in below))
    with Worker(own_tier, concurrency=1):
        assert own_tier.result(job) == "slept"
    assert [event.kind for event in own_tier.events(job)].count("claimed") == 2


def test_the_end_of_a_worker_leaves_nothing_running(own_tier: Tier) -> None:
    with Worker(own_tier, concurrency=1) as worker:
        job = own_tier.submit("nap", seconds=0.5)
        own_tier.wait_for_status(job, "running")
        below = [*worker.children()]
    assert own_tier.job(job).status == "succeeded"
    assert worker.process.returncode == 0
    assert not any(alive(pid) for pid in below)


def test_what_was_claimed_unheard_is_run_by_who_has_claimed_it(own_tier: Tier) -> None:
    with Worker(own_tier, app="tests.celery.unheard:shared.celery") as worker:
        jobs = own_tier.submit_many("add", [{"x": 1, "y": 1}] * 6)
        assert [own_tier.result(job) for job in jobs] == [2] * 6
        assert worker.log.count("the answer was lost") == 2 * len(worker.pool())
        kinds = [[event.kind for event in own_tier.events(job)] for job in jobs]
        assert kinds == [["accepted", "claimed", "succeeded"]] * 6
