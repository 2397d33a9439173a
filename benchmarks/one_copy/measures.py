"""What is measured of one server, and how."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import wrk
from benchmarks.one_copy.servers import Server, SetUp
from onecopy.heap import ProcessMemory
from onecopy.server import control

_SETTLE_SECONDS: Final = 2.0  # between the start and the reading of an idle server
_TURN_SECONDS: Final = 5.0
CONNECTIONS: Final = 32


def serve(set_up: SetUp, paths: Path, seconds: float, log: Path) -> dict[str, Any]:
    """Start a set-up, load it, and read its memory before and after."""
    probe = paths.read_text().split("\n", 1)[0]
    with Server(set_up, log) as server:
        ready = server.seconds_until_ready(probe)
        time.sleep(_SETTLE_SECONDS)
        idle = server.memory()
        load = wrk.get(server.url, paths, seconds, CONNECTIONS)
        loaded = server.memory()
        return {
            "name": set_up.name,
            "command": set_up.shown,
            "ready_seconds": ready,
            "idle_pss_bytes": _total(idle),
            "loaded_pss_bytes": _total(loaded),
            "requests": load.requests,
            "requests_per_second": load.per_second,
            "p50_ms": load.p50_ms,
            "p99_ms": load.p99_ms,
            "errors": load.errors,
            **_own(server.root, idle, loaded),
        }


def workers(
    set_up: SetUp, count: int, paths: Path, requests: int, clients: int, log: Path
) -> dict[str, Any]:
    """Load workers until each has answered so many requests; their own memory before and after.

    Two workers at least: the pages of code that one alone has mapped would count as its own.
    """
    probe = paths.read_text().split("\n", 1)[0]
    with Server(set_up, log) as server:
        server.seconds_until_ready(probe)
        time.sleep(_SETTLE_SECONDS)
        idle = server.memory()
        answered = 0
        while answered < requests * count:
            answered += wrk.get(server.url, paths, _TURN_SECONDS, clients * count).requests
        own = _own(server.root, idle, server.memory())
    return {"name": set_up.name, "clients": clients, "requests": answered // count, **own}


def turns(set_ups: Sequence[SetUp], paths: Path, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Load set-ups that run side by side in turns, so that what else the machine does is in all."""
    probe = paths.read_text().split("\n", 1)[0]
    with contextlib.ExitStack() as running:
        servers: list[Server] = []
        for number, set_up in enumerate(set_ups):
            servers.append(running.enter_context(Server(set_up, folder / f"log-{number}")))
            servers[-1].seconds_until_ready(probe)
        rates = [
            [
                wrk.get(server.url, paths, _TURN_SECONDS, CONNECTIONS).per_second
                for server in servers
            ]
            for _ in range(rounds)
        ]
    return [
        {
            "name": set_up.name,
            "requests_per_second": statistics.median(rate),
            "requests_per_second_runs": list(rate),
        }
        for set_up, rate in zip(set_ups, zip(*rates, strict=True), strict=True)
    ]


def spread(set_up: SetUp, paths: Path, clients: int, repeats: int, log: Path) -> dict[str, Any]:
    """Load a set-up with few clients, on new connections each time; the median of the runs."""
    probe = paths.read_text().split("\n", 1)[0]
    with Server(set_up, log) as server:
        server.seconds_until_ready(probe)
        loads = [wrk.get(server.url, paths, _TURN_SECONDS, clients) for _ in range(repeats)]
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


def _own(root: int, *readings: dict[int, ProcessMemory]) -> dict[str, Any]:
    """The own memory of the root process, and of the largest worker at each reading."""
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
