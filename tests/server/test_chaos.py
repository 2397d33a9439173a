"""The small version of `benchmarks/chaos`."""

import os
import random
from pathlib import Path

import pytest

from benchmarks.chaos.run import Chaos, Plan
from servers.choice import chosen
from servers.process import Missing


@pytest.mark.timeout(150)
def test_kills_of_every_kind_lose_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    random.seed(seed)
    report = Chaos(tmp_path, Plan(jobs=400, kills=20, pause=0.3, work=0.02)).run()
    assert report.good, (seed, report)
    assert report.accepted >= 400
    assert report.kills.total() == 20
    assert report.statuses == {"succeeded": report.accepted}


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("engine", "store"), [("rabbitmq", "postgres"), ("kafka", "redis"), ("celery", "sqlite")]
)
def test_kills_of_servers_too_lose_nothing(tmp_path: Path, engine: str, store: str) -> None:
    seed = random.randrange(1_000_000)
    random.seed(seed)
    try:
        with chosen(engine, store) as choice:
            report = Chaos(tmp_path, Plan(jobs=100, kills=8, pause=0.3, work=0.02), choice).run()
    except Missing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    assert report.good, (seed, report)
    assert report.statuses == {"succeeded": report.accepted}
