"""A Celery worker whose broker is killed while messages go to and fro."""

import os
import signal
from pathlib import Path
from typing import Final

from onecopy.execution.identity import WorkerName
from servers.redis import Redis
from tests.celery.worker import Tier, Worker
from tests.servers import started

_TIMES: Final = 6  # By itself, Celery would end one time in seven.


def _child_of(tier: Tier, job: str) -> int:
    """Wait until a job runs; return the pid of the child that runs it."""
    lease = tier.wait_for_status(job, "running").lease
    assert lease is not None
    name = WorkerName.parse(lease.worker)
    assert name is not None
    return name.pid


def _kill_children(tier: Tier, worker: Worker) -> None:
    """Kill both children in the middle of their jobs; see that it is told, and that they run."""
    jobs = tier.submit_many("nap", [{"seconds": 1}] * 2, options={"max_attempts": 2})
    for job in jobs:
        tier.wait_for_status(job, "running")
    for child in worker.pool():
        os.kill(child, signal.SIGKILL)
    for job in jobs:
        assert tier.result(job) == "slept"
        (retry,) = [each for each in tier.events(job) if each.kind == "retry"]
        assert "killed by SIGKILL" in str(retry.data)


def test_limits_are_kept_and_losses_recorded_while_the_broker_is_away(tmp_path: Path) -> None:
    with started(Redis(tmp_path / "redis")) as broker:
        tier = Tier(tmp_path, f"celery+{broker.url}")
        with Worker(tier) as worker:
            stuck = tier.submit("in_c", options={"timeout": 0.3})
            tier.wait_for_status(stuck, "running")
            asleep = tier.submit("nap", seconds=60)
            (child,) = {*worker.pool()} - {_child_of(tier, stuck)}
            assert _child_of(tier, asleep) == child
            broker.kill()
            worker.wait_for_log("Trying again in")
            os.kill(child, signal.SIGKILL)
            # Neither waits for a lease to be over, nor for the broker.
            lost = tier.wait(asleep, seconds=20)
            killed = tier.wait(stuck, seconds=20)
            broker.start()
            assert tier.result(tier.submit("add", x=1, y=1)) == 2
    assert lost.failure is not None
    assert killed.failure is not None
    assert lost.failure.message == "its worker is gone"
    assert killed.failure.message == "killed: its task did not end when its time was over"


def test_the_worker_lives_on_and_runs_what_it_had_taken(tmp_path: Path) -> None:
    with started(Redis(tmp_path / "redis")) as broker:
        tier = Tier(tmp_path, f"celery+{broker.url}")
        with Worker(tier) as worker:
            processes = worker.children()
            for _ in range(_TIMES):
                jobs = tier.submit_many("nap", [{"seconds": 0.02}] * 30)
                tier.wait_for_status(jobs[0], "succeeded")
                broker.kill()
                broker.start()
                assert [tier.result(job) for job in jobs] == ["slept"] * len(jobs), worker.log
            assert worker.children() == processes
            # The watch over the children has survived as well, and takes in those that come.
            for _ in range(2):
                _kill_children(tier, worker)
