"""Celery's own workers whose connections to the broker are cut, late or lost, again and again."""

import time
from pathlib import Path

import pytest

from tests.celery.worker import Tier, Worker
from tests.running import wait_until
from tests.ways import CELERY, HARMS, Way


def _run_one(tier: Tier) -> float:
    """Have a job run; return in how many seconds."""
    began = time.monotonic()
    assert tier.result(tier.submit("add", x=1, y=1)) == 2
    return time.monotonic() - began


@pytest.mark.parametrize("way", CELERY, indirect=True)
def test_each_job_runs_once_whatever_becomes_of_connections(way: Way, tmp_path: Path) -> None:
    tier = Tier(tmp_path, way.url)
    traces: dict[str, Path] = {}

    def submit() -> None:
        trace = tmp_path / f"trace {len(traces)}"
        traces[tier.submit("count", path=str(trace))] = trace

    with Worker(tier) as worker:
        processes = worker.children()
        for harm in HARMS:
            felt = way.harm(harm)
            wait_until(lambda felt=felt: submit() or felt(), what=harm)
            way.heal()
        for job in traces:
            tier.result(job)
        # The keeper would publish after two seconds what was not heard.
        wait_until(lambda: max(_run_one(tier), _run_one(tier)) < 1, what="messages")
        assert worker.children() == processes
    assert [trace.read_text() for trace in traces.values()] == ["x"] * len(traces)
