"""The figures of the benchmark of engines as the tables of docs/benchmarks.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables import Result, aim, table

_BARE = {
    "onecopy, rabbitmq, SQLite": "FastStream, RabbitMQ",
    "onecopy, kafka, SQLite": "FastStream, Kafka",
}


def engines(result: Result) -> str:
    """Jobs a second and latencies by engine and store, and of peers on the same servers."""
    rows = [
        [
            f"{peer['name']}: `{peer['command']}`",
            f"{peer['jobs_per_second']:,.0f}",
            f"{peer['loaded_p50_ms']:,.1f}",
            f"{peer['loaded_p99_ms']:,.1f}",
            f"{peer['burst_jobs_per_second']:,.0f}",
            f"{peer['idle_p50_ms']:.2f}",
            f"{peer['idle_p99_ms']:.2f}",
        ]
        for peer in result["figures"]["peers"]
    ]
    rows += [[f"{name}: {why}", *[""] * 6] for name, why in result["figures"]["left_out"].items()]
    heads = ["engine, store: worker", "jobs/s", "p50, ms", "p99, ms", "burst, jobs/s"]
    return table([*heads, "idle p50, ms", "idle p99, ms"], rows)


def engines_aims(result: Result) -> str:
    """What was aimed at, where both sides were measured."""
    peers: dict[str, dict[str, Any]] = {peer["name"]: peer for peer in result["figures"]["peers"]}
    rows = [row for peer in peers.values() for row in _aims(peer, peers)]
    return table(["figure", "measured", "aim", "met"], rows)


def _aims(peer: dict[str, Any], peers: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows: list[list[str]] = []
    name = peer["name"]
    for other, least in ((peer["celery"], 0.8), ("Celery, Redis" if ", redis," in name else "", 3)):
        if other in peers:
            rate = peer["jobs_per_second"] / peers[other]["jobs_per_second"]
            rows.append(aim(f"jobs/s of {name} / of {other}, at least", rate, least, least=True))
    bare = peers.get(_BARE.get(name, ""))
    if bare is not None:
        ratio = peer["idle_p50_ms"] / bare["idle_p50_ms"]
        rows.append(aim(f"idle p50 of {name} / of {bare['name']}, at most", ratio, 2.0))
    return rows
