"""What is measured of one server, and how."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.one_copy import wrk
from benchmarks.one_copy.servers import Server, SetUp
from onecopy.heap import ProcessMemory
from onecopy.server import control

_SETTLE_SECONDS: Final = 2.0  # between the start and the reading of an idle server
CONNECTIONS: Final = 32


def serve(set_up: SetUp, paths: Path, seconds: float, requests: int, log: Path) -> dict[str, Any]:
    """Load a set-up for so many seconds, and on until so many requests are answered."""
    probe = paths.read_text().split("\n", 1)[0]
    with Server(set_up, log) as server:
        ready = server.seconds_until_ready(probe)
        time.sleep(_SETTLE_SECONDS)
        idle = server.memory()
        load = wrk.run(server.url, paths, seconds, CONNECTIONS)
        loaded = server.memory()
        answered = load.requests
        while answered < requests:
            answered += wrk.run(server.url, paths, seconds, CONNECTIONS).requests
        return {
            "name": set_up.name,
            "command": set_up.shown,
            "ready_seconds": ready,
            "idle_pss_bytes": _total(idle),
            "loaded_pss_bytes": _total(loaded),
            "requests_per_second": load.per_second,
            "p50_ms": load.p50_ms,
            "p99_ms": load.p99_ms,
            "errors": load.errors,
            "requests_before_last_reading": answered,
            **_by_role(server.root, idle, loaded, server.memory()),
        }


def spread(set_up: SetUp, paths: Path, clients: int, repeats: int, log: Path) -> dict[str, Any]:
    """Load a set-up with few clients, on new connections each time; the median of the runs."""
    probe = paths.read_text().split("\n", 1)[0]
    with Server(set_up, log) as server:
        server.seconds_until_ready(probe)
        loads = [wrk.run(server.url, paths, 5, clients) for _ in range(repeats)]
    return {
        "name": set_up.name,
        "command": set_up.shown,
        "clients": clients,
        "p99_ms": statistics.median(load.p99_ms for load in loads),
        "p99_ms_runs": [load.p99_ms for load in loads],
        "requests_per_second": statistics.median(load.per_second for load in loads),
    }


def _total(memory: dict[int, ProcessMemory]) -> int:
    return sum(process.pss_bytes for process in memory.values())


def _by_role(root: int, *readings: dict[int, ProcessMemory]) -> dict[str, Any]:
    """The private memory of the root process and of the workers: idle, loaded, at the end."""
    roles = _roles(root)
    workers = [pid for pid in readings[-1] if roles.get(pid, "web") == "web" and pid != root]
    return {
        "root_private_bytes": readings[-1][root].private_bytes,
        "worker_private_bytes": [
            max(reading[pid].private_bytes for pid in workers if pid in reading)
            for reading in readings
        ],
    }


def _roles(root: int) -> dict[int, str]:
    """What the supervisor says that its processes are; nothing if the root is Gunicorn's master."""
    try:
        status = control.ask(root, {"command": "status"})
    except control.NotRunning:
        return {}
    return {process["pid"]: process["role"] for process in status["processes"]}
