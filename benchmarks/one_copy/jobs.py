"""Four web workers and two job workers that all read everything, beside one web worker.

`python -m benchmarks.one_copy.jobs`: the gazetteer behind `onecopy run`; each process reads every
object of the data, then the memory of all processes is read.
Aim: six workers hold at most 1.06 of what one holds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console

from benchmarks import _facts
from benchmarks.one_copy.servers import Server, SetUp
from benchmarks.processes import BIN, ROOT
from onecopy.server import control

AIM: Final = 1.06
WEB: Final = 4
JOB: Final = 2
_TRIES: Final = 20
_SECONDS: Final = 300
_PATH: Final = "/read-all"


def _set_up(name: str, web: int, job: int, folder: Path) -> SetUp:
    command = ("run", "benchmarks.one_copy.all_read:app", "--app-dir", str(ROOT / "examples"))
    workers = ("--workers", str(web), "--job-workers", str(job), "--no-access-log")
    return SetUp(
        name,
        (str(BIN / "onecopy"), *command, *workers, "--state-dir", str(folder / name)),
        ready_text="onecopy serves",
        ready_count=1,
        folder=ROOT,
        environment={"PYTHONPATH": str(ROOT)},
    )


def measure(set_up: SetUp, web: int, job: int, log: Path) -> dict[str, Any]:
    """Start a service, have each of its workers read everything, and read its memory."""
    with Server(set_up, log) as server:
        server.seconds_until_ready("/worker")
        _all_read(lambda: _read_in_web(server.url), web)
        _all_read(lambda: _read_in_job(server.url), job)
        memory = server.memory()
        roles = {
            process["pid"]: process["role"]
            for process in control.ask(server.root, {"command": "status"})["processes"]
        }
        own = {
            role: max(memory[pid].private_bytes for pid in memory if roles.get(pid) == role)
            for role in set(roles.values())
        }
        return {
            "name": set_up.name,
            "pss_bytes": sum(process.pss_bytes for process in memory.values()),
            "processes": len(memory),
            "private_bytes": own,
        }


def _all_read(read: Callable[[], int], workers: int) -> None:
    """Ask, many at a time, until so many processes have read everything."""
    found: set[int] = set()
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for _ in range(_TRIES):
            if len(found) >= workers:
                return
            asked = [pool.submit(read) for _ in range(workers)]
            found |= {each.result() for each in asked}
    raise SystemExit(f"only {len(found)} of {workers} workers have answered")


def _read_in_web(url: str) -> int:
    return _ask(urllib.request.Request(url + _PATH))


def _read_in_job(url: str) -> int:
    headers = {"content-type": "application/json"}
    job = _ask(urllib.request.Request(url + _PATH, b"{}", headers, method="POST"))
    waiting = {"prefer": "wait=60"}
    while job["status"] in ("queued", "running"):
        job = _ask(urllib.request.Request(url + job["links"]["self"], headers=waiting))
    if job["status"] != "succeeded":
        raise SystemExit(f"a job that reads everything: {job}")
    return job["result"]


def _ask(request: urllib.request.Request) -> Any:  # noqa: ANN401 - what the app answers
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return json.load(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description="Web and job workers that all read one copy.")
    parser.add_argument("--rounds", type=int, default=1, help="starts of each service")
    options = parser.parse_args()
    sizes = {"1 web worker": (1, 0), f"{WEB} web and {JOB} job workers": (WEB, JOB)}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for _ in range(options.rounds):
            for name, (web, job) in sizes.items():
                with console.status(name):
                    set_up = _set_up(name, web, job, folder)
                    rows[name].append(measure(set_up, web, job, folder / "log"))
                console.print(rows[name][-1])
    one, six = (median(row["pss_bytes"] for row in found) for found in rows.values())
    console.print(f"{six / 1e6:,.0f} MB / {one / 1e6:,.0f} MB = {six / one:.3f}")
    figures = {"aim": AIM, "ratio": six / one, "services": [found[-1] for found in rows.values()]}
    _facts.save("one_copy_jobs", figures)


if __name__ == "__main__":
    main()
