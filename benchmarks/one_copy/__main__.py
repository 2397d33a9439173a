"""Measures every server under the same load: `python -m benchmarks.one_copy`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import _facts, wrk
from benchmarks.one_copy import measures, workload
from benchmarks.one_copy.servers import SetUp

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
BIN: Final = Path(sys.executable).parent
WORKERS: Final = 4
CLIENTS: Final = 8
ENOUGH_REQUESTS: Final = 100_000
ROUNDS: Final = 5

_GUNICORN = (str(BIN / "gunicorn"), "-k", "uvicorn_worker.UvicornWorker", "-w", str(WORKERS))
_RUN = (str(BIN / "onecopy"), "run")
_QUIET = ("--no-access-log",)


def _gunicorn(name: str, app: str, *options: str) -> SetUp:
    return SetUp(
        name,
        (*_GUNICORN, *options, "--no-control-socket", app),
        ready_text="Application startup complete",
        ready_count=WORKERS,
        folder=EXAMPLES,
        environment={"PYTHONPATH": str(ROOT)},
    )


def _onecopy(name: str, app: str, workers: int, folder: Path = EXAMPLES) -> SetUp:
    command = (*_RUN, app, "--workers", str(workers), *_QUIET)
    return SetUp(name, command, ready_text="onecopy serves", ready_count=1, folder=folder)


AT_IMPORT: Final = "benchmarks.one_copy.at_import:app"
GAZETTEER: Final = "gazetteer.app:app"
TWO_MS: Final = "benchmarks.one_copy.apps:two_milliseconds"

PLAIN: Final = _gunicorn("gunicorn", AT_IMPORT)
ONE_WORKER: Final = _onecopy("onecopy run, 1 worker", GAZETTEER, 1)
TWO_WORKERS: Final = _onecopy("onecopy run, 2 workers", GAZETTEER, 2)
FOUR_WORKERS: Final = _onecopy("onecopy run, 4 workers", GAZETTEER, WORKERS)
SERVERS: Final = (
    PLAIN,
    _gunicorn("gunicorn --preload", AT_IMPORT, "--preload"),
    _gunicorn("gunicorn with onecopy", GAZETTEER, "-c", "python:onecopy.gunicorn"),
    FOUR_WORKERS,
    ONE_WORKER,
)
SPREAD: Final = (
    SetUp(
        "SO_REUSEPORT",
        (sys.executable, "-m", "benchmarks.one_copy.reuse_port", TWO_MS, "--workers", str(WORKERS)),
        ready_text="Application startup complete",
        ready_count=WORKERS,
        folder=ROOT,
    ),
    _onecopy("onecopy run, 4 workers", TWO_MS, WORKERS, folder=ROOT),
)


def load_seconds() -> float:
    """Seconds that one plain Python process takes to import the app and load its data."""
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "import benchmarks.one_copy.at_import"],
        cwd=EXAMPLES,
        env={"PYTHONPATH": f"{ROOT}:{EXAMPLES}"},
        check=True,
    )
    return time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of load on each server")
    parser.add_argument(
        "--only", nargs="*", help="names of servers, turns, worker, spread; nothing is written then"
    )
    parser.add_argument(
        "--merge", action="store_true", help="put turns, worker or spread into the last result"
    )
    options = parser.parse_args()
    wrk.check()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(Path(temporary), options.seconds, options.only)
    if options.only is None:
        _facts.save("one_copy", figures)
    elif options.merge:
        last = json.loads((_facts.RESULTS / "one_copy.json").read_text())["figures"]
        _facts.save("one_copy", {**last, **figures, "servers": last["servers"]})


def measure(folder: Path, seconds: float, only: list[str] | None) -> dict[str, Any]:
    """Measure every server, one after the other, on the same requests."""
    paths, root_path, log = folder / "paths", folder / "root", folder / "log"
    workload.write_paths(paths)
    root_path.write_text("/\n")
    figures: dict[str, Any] = {"seconds": seconds, "clients": measures.CONNECTIONS}
    if only is None:
        figures["load_seconds"] = load_seconds()
        print(f"importing and loading takes {figures['load_seconds']:.1f} s")
    figures["servers"] = [
        _shown(measures.serve(set_up, paths, seconds, log))
        for set_up in SERVERS
        if only is None or set_up.name in only
    ]
    if only is None or "turns" in only:
        figures["turns"] = [_shown(each) for each in measures.turns(SERVERS, paths, ROUNDS, folder)]
    if only is None or "worker" in only:
        figures["worker"] = _shown(
            measures.workers(TWO_WORKERS, 2, paths, ENOUGH_REQUESTS, CLIENTS, log)
        )
    if only is None or "spread" in only:
        figures["spread"] = [
            _shown(measures.spread(set_up, root_path, CLIENTS, ROUNDS, log)) for set_up in SPREAD
        ]
    return figures


def _shown(figures: dict[str, Any]) -> dict[str, Any]:
    print(figures["name"])
    for name, value in figures.items():
        print(f"    {name}: {value:,.2f}" if isinstance(value, float) else f"    {name}: {value}")
    sys.stdout.flush()
    return figures


if __name__ == "__main__":
    main()
