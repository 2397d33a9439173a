"""A POST that accepts a job, beside a bare FastAPI POST with the same arguments on the same server.

`python -m benchmarks.accept`: wrk posts on 32 kept connections, to the two routes in turns. One web
worker; first alone, so that the queue grows, then with a job worker that runs the jobs meanwhile.
Aim: jobs are accepted at 0.6 of the rate of the bare answers, with no job worker.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts, wrk
from benchmarks.processes import BIN, program, shown
from servers.process import free_port

AIM: Final = 0.6
CONNECTIONS: Final = 32
_BODY: Final = json.dumps({"path": "/images/0001.jpg", "width": 640})
_APP: Final = ("benchmarks.accept.app:app", "--workers", "1", "--no-access-log")
_SERVERS: Final = {
    "no job worker": (str(BIN / "onecopy"), "web", *_APP),
    "a job worker runs the jobs": (str(BIN / "onecopy"), "run", *_APP, "--job-workers", "1"),
}
_ROUTES: Final = ("bare", "job")


def measure(
    name: str, command: tuple[str, ...], folder: Path, rounds: int, seconds: float
) -> dict[str, Any]:
    """Start a server and post to its two routes in turns."""
    port = free_port()
    loads: dict[str, list[wrk.Load]] = {route: [] for route in _ROUTES}
    started = (*command, "--port", str(port))
    with program(started, folder, lambda log: "onecopy serves" in log):
        for route in _ROUTES:
            post(port, route, 1)
        for _ in track(range(rounds), name):
            for route in _ROUTES:
                loads[route].append(post(port, route, seconds))
    rates = {route: [load.per_second for load in found] for route, found in loads.items()}
    return {
        "name": name,
        "command": shown(command),
        "ratio": median(rates["job"]) / median(rates["bare"]),
        **{f"{route}_per_second": median(rates[route]) for route in _ROUTES},
        **{f"{route}_per_second_runs": rates[route] for route in _ROUTES},
        **{f"{route}_p99_ms": median(each.p99_ms for each in loads[route]) for route in _ROUTES},
    }


def post(port: int, route: str, seconds: float) -> wrk.Load:
    """Post to a route; exits if a post fails."""
    load = wrk.post(f"http://127.0.0.1:{port}/{route}", _BODY, seconds, CONNECTIONS)
    if load.errors:
        raise SystemExit(f"{load.errors} of {load.requests} posts to /{route} failed")
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description="Accepting jobs over HTTP, beside bare answers.")
    parser.add_argument("--rounds", type=int, default=5, help="turns of both routes")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load on each in a turn")
    options = parser.parse_args()
    wrk.check()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(name, command, Path(folder) / str(number), options.rounds, options.seconds)
            for number, (name, command) in enumerate(_SERVERS.items())
        ]
    for row in rows:
        print(
            f"{row['name']:>26}: bare {row['bare_per_second']:>6,.0f}/s, p99 "
            f"{row['bare_p99_ms']:.1f} ms; jobs {row['job_per_second']:>6,.0f}/s, p99 "
            f"{row['job_p99_ms']:.1f} ms; {row['ratio']:.2f} of it"
        )
    _facts.save("accept", {"aim": AIM, "connections": CONNECTIONS, "servers": rows})


if __name__ == "__main__":
    main()
