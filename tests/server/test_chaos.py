"""The small version of `benchmarks/chaos`."""

import random
from pathlib import Path

import pytest

from benchmarks.chaos.run import Chaos, Plan


@pytest.mark.timeout(150)
def test_kills_of_every_kind_lose_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    random.seed(seed)
    report = Chaos(tmp_path, Plan(jobs=400, kills=20, pause=0.3, work=0.02)).run()
    assert report.good, (seed, report)
    assert report.accepted >= 400
    assert report.kills.total() == 20
    assert report.statuses == {"succeeded": report.accepted}
