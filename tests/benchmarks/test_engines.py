"""The benchmark of engines: what is left out, and what its tables say."""

from dataclasses import replace
from typing import Any

from benchmarks import engine_tables
from benchmarks.engines.peers import PEERS


def peer(name: str, rate: float, idle: float, celery: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "command": "work",
        "celery": celery,
        "jobs_per_second": rate,
        "burst_jobs_per_second": 2 * rate,
        "loaded_p50_ms": 10.0,
        "loaded_p99_ms": 20.0,
        "idle_p50_ms": idle,
        "idle_p99_ms": 2 * idle,
    }


def test_what_is_not_installed_is_left_out_with_a_reason() -> None:
    assert PEERS[0].missing() is None
    absent = replace(PEERS[0], packages=("no_such_package",))
    assert absent.missing() == "no_such_package not installed: make bench-engines installs it"


def test_the_tables_compare_what_was_measured_side_by_side() -> None:
    peers = [
        peer("onecopy, celery (Redis), SQLite", 90.0, 2.0, "Celery, Redis"),
        peer("onecopy, redis, Redis", 250.0, 1.0),
        peer("onecopy, rabbitmq, SQLite", 200.0, 3.0),
        peer("onecopy, kafka, SQLite", 200.0, 2.0),
        peer("Celery, Redis", 100.0, 4.0),
        peer("FastStream, RabbitMQ", 900.0, 1.0),
        peer("FastStream, Kafka", 900.0, 1.0),
    ]
    figures = {"peers": peers, "left_out": {"taskiq, Redis": "taskiq not installed"}}
    result = {"figures": figures}
    assert "taskiq, Redis: taskiq not installed" in engine_tables.engines(result)
    aims = engine_tables.engines_aims(result)
    assert "of Celery, Redis, at least | 0.90 | 0.8 | yes" in aims
    assert "of onecopy, redis, Redis / of Celery, Redis, at least | 2.50 | 3 | **no**" in aims
    assert "of FastStream, RabbitMQ, at most | 3.00 | 2 | **no**" in aims
    assert "of FastStream, Kafka, at most | 2.00 | 2 | yes" in aims
