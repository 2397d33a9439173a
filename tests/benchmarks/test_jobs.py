"""The benchmarks of jobs, each small: what they start and measure is real."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import job_tables
from benchmarks.jobs.peers import CELERY, PEERS
from benchmarks.jobs.turns import Size, measure


# Six processes, each of which imports onecopy: that takes its seconds.
def test_a_worker_is_measured_under_each_load(tmp_path: Path) -> None:
    (figures,) = measure([PEERS[1]], tmp_path, Size(rounds=1, seconds=0.1, submitters=4, burst=16))
    assert figures["command"] == "onecopy worker benchmarks.jobs.apps.onecopy_async:app --workers 1"
    assert figures["jobs_per_second"] > 0
    assert figures["burst_jobs_per_second"] > 0
    assert 0 < figures["loaded_p50_ms"] <= figures["loaded_p99_ms"]
    assert 0 < figures["idle_p50_ms"] <= figures["idle_p99_ms"]


def test_a_peer_that_is_not_installed_is_left_out_with_a_reason() -> None:
    assert PEERS[0].missing() is None
    absent = replace(CELERY, packages=("no_such_package",))
    assert absent.missing() == "no_such_package not installed: make bench-jobs installs it"


def peer(name: str, rate: float, idle: float) -> dict[str, Any]:
    return {
        "name": name,
        "command": "work",
        "jobs_per_second": rate,
        "burst_jobs_per_second": 2 * rate,
        "loaded_p50_ms": 10.0,
        "loaded_p99_ms": 20.0,
        "idle_p50_ms": idle,
        "idle_p99_ms": 2 * idle,
    }


def figures_of(*peers: dict[str, Any]) -> dict[str, Any]:
    return {"figures": {"aim_times_celery": 10, "aim_idle_ms": 1, "peers": [*peers]}}


def test_rates_are_shown_as_multiples_of_celery() -> None:
    ours = peer("onecopy, async task", 4000, 0.8)
    result = figures_of(ours, peer("Celery, Redis", 500, 3.0))
    assert "| 4,000 | 8.0 | 10.0 | 20.0 | 8,000 | 8.0 | 0.80 | 1.60 |" in job_tables.jobs(result)
    aims = job_tables.jobs_aims(result)
    assert "of Celery, at least | 8.00 | 10 | **no** |" in aims
    assert "idle p50 of onecopy, async task, ms, at most | 0.80 | 1 | yes |" in aims


def test_without_celery_there_is_no_multiple() -> None:
    result = figures_of(peer("onecopy, async task", 4000, 0.8))
    assert "| 4,000 | - |" in job_tables.jobs(result)
    assert "Celery" not in job_tables.jobs_aims(result)


def test_a_call_may_take_a_time_or_so_many_echoes_whichever_is_more() -> None:
    ways = [
        {"name": name, "p50_us": p50, "p99_us": 900.0, "echoes": p50 / 130}
        for name, p50 in (("echo", 130.0), ("call, async task", 255.0), ("call, sync task", 265.0))
    ]
    shown = job_tables.call({"figures": {"aim_us": 250, "aim_echoes": 2, "ways": ways}})
    assert "at most 260 µs" in shown
    assert "| call, async task | 255 | 900 | 2.0 | yes |" in shown
    assert "| call, sync task | 265 | 900 | 2.0 | **no** |" in shown


def test_accepting_is_shown_beside_bare_answers() -> None:
    server = {
        "name": "no job worker",
        "command": "onecopy web",
        "bare_per_second": 4000.0,
        "bare_p99_ms": 20.0,
        "job_per_second": 2000.0,
        "job_p99_ms": 30.0,
        "ratio": 0.5,
    }
    shown = job_tables.accept({"figures": {"aim": 0.6, "servers": [server, server]}})
    assert "| 4,000 | 20.0 | 2,000 | 30.0 | 0.50 | **no** |" in shown
    assert "| 0.50 |  |" in shown


def test_the_longest_queue_is_shown_beside_the_shortest() -> None:
    queues = [
        {"queued": queued, "accept_ms": 0.5, "claim_ms": claim, "finish_ms": 0.4, "bytes": 8e6}
        for queued, claim in ((10_000, 0.5), (10_000_000, 1.0))
    ]
    ratios = {"accept": 1.0, "claim": 2.0, "finish": 1.0}
    shown = job_tables.growth(
        {"figures": {"aim": 1.5, "growth": {"queues": queues, "ratios": ratios}}}
    )
    assert "| 10,000,000 | 0.50 | 1.00 | 0.40 | 8 MB |" in shown
    assert "at most 1.5 | 1.00: yes | 2.00: **no** | 1.00: yes |" in shown
