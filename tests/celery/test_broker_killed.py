"""A Celery worker whose broker is killed while messages go to and fro."""

from pathlib import Path
from typing import Final

from servers.redis import Redis
from tests.celery.worker import Tier, Worker
from tests.servers import started

_TIMES: Final = 6  # By itself, Celery would end one time in seven.


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
