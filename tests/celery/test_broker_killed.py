"""A Celery worker whose broker is killed while messages go to and fro."""

import os
import signal
from pathlib import Path
from typing import Final

from servers.redis import Redis
from tests.celery.worker import Tier, Worker
from tests.servers import started

_TIMES: Final = 6  # By itself, Celery would end one time in seven.


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
