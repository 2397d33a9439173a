"""Ten thousand idle streams of events on one web worker, and how soon a client is told of an end.

`python -m benchmarks.events`: one web and one job worker. First one stream at a time: from the end
of a task to the line in its client's hands. Then 10,000 streams of one job: the memory of the web
worker, and how long an event takes to reach them all.
Aims: 5 ms at the median; 250 MB; 500 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts, loops
from benchmarks.events.crowd import Crowd
from benchmarks.processes import BIN, program
from onecopy.heap import memory
from onecopy.server import control
from servers.process import free_port

STREAMS: Final = 10_000
AIM_BYTES: Final = 250e6
AIM_REACH_MS: Final = 500.0
AIM_END_MS: Final = 5.0
_COMMAND: Final = (
    *(str(BIN / "onecopy"), "run", "benchmarks.events.app:app", "--workers", "1"),
    *("--job-workers", "1", "--no-access-log"),
)
_PAUSE: Final = 0.05
"""Seconds after which a task ends: its client follows it by then."""
_SETTLE: Final = 2.0


class Service:
    """Sends jobs, and reports of them from elsewhere."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self._folder = folder

    def submit(self, task: str, **arguments: object) -> str:
        """Return the id of a job."""
        return self._post(f"/{task}", arguments)["id"]

    def hold(self) -> tuple[str, str]:
        """Return the id of a job that goes on, and its token."""
        path = self._folder / "token"
        job = self.submit("hold", path=str(path))
        while not (path.exists() and path.read_text()):
            time.sleep(0.01)
        return job, path.read_text()

    def report(self, job: str, token: str, **outcome: object) -> None:
        """Report the progress, or the outcome, of a job that goes on."""
        self._post(f"/jobs/{job}/outcome", outcome, {"authorization": f"Bearer {token}"})

    def _post(self, path: str, body: object, more: dict[str, str] | None = None) -> dict[str, Any]:
        headers = {"content-type": "application/json", **(more or {})}
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")


async def ends(service: Service, jobs: int) -> list[float]:
    """Milliseconds from the end of a task to the client, of so many jobs, one after the other."""
    times: list[float] = []
    for _ in track(range(jobs), "ends of jobs"):
        job = await asyncio.to_thread(service.submit, "soon", seconds=_PAUSE)
        times.append(await _end_of(service.port, job))
    return sorted(times)


async def _end_of(port: int, job: str) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(Crowd(port, job).request)
    try:
        while True:
            line = await reader.readline()
            if b'"succeeded"' in line:
                arrived = time.time()
                return (arrived - json.loads(line.removeprefix(b"data: "))["result"]) * 1000
            if not line:
                raise SystemExit(f"the stream of job {job} has ended without an end")
    finally:
        writer.close()


async def idle(service: Service, pid: int, streams: int, rounds: int) -> dict[str, Any]:
    """Hold so many streams of one job; then tell them."""
    empty = memory([pid])[pid].pss_bytes
    job, token = await asyncio.to_thread(service.hold)
    crowd = Crowd(service.port, job)
    began = time.time()
    await crowd.open(streams)
    opened = time.time() - began
    await asyncio.sleep(_SETTLE)
    held = memory([pid])[pid].pss_bytes
    reached: list[float] = []
    for number in range(rounds):
        reached.append(await _reach(crowd, service, job, token, progress={"done": number}))
        await asyncio.sleep(_SETTLE)
    final = await _reach(crowd, service, job, token, result=None)
    closed = max(await crowd.all_closed()) - crowd.began
    crowd.close()
    return {
        "streams": streams,
        "empty_pss_bytes": empty,
        "pss_bytes": held,
        "opened_per_second": streams / opened,
        "reach_ms": median(reached),
        "reach_ms_runs": reached,
        "final_reach_ms": final,
        "closed_ms": closed * 1000,
    }


async def _reach(crowd: Crowd, service: Service, job: str, token: str, **outcome: object) -> float:
    """Milliseconds until the last stream is told what is reported now."""
    crowd.expect()
    await asyncio.to_thread(service.report, job, token, **outcome)
    return (max(await crowd.all_told()) - crowd.began) * 1000


async def measure(service: Service, pid: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the ends of jobs, alone and beside the idle streams, and these."""
    times = await ends(service, options.jobs)
    figures = await idle(service, pid, options.streams, options.rounds)
    return {
        "loop": loops.name(),
        "jobs": options.jobs,
        "end_p50_ms": median(times),
        "end_p99_ms": times[int(len(times) * 0.99)],
        **figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Open streams of events.")
    parser.add_argument("--streams", type=int, default=STREAMS, help="idle ones")
    parser.add_argument("--jobs", type=int, default=200, help="of which the end is waited for")
    parser.add_argument("--rounds", type=int, default=5, help="events that reach all streams")
    options = parser.parse_args()
    _allow_files(options.streams + 200)
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        command = (*_COMMAND, "--port", str(port), "--state-dir", str(folder / "state"))
        with program(command, folder, lambda log: "onecopy serves" in log) as process:
            processes = control.ask(process.pid, {"command": "status"})["processes"]
            (pid,) = (each["pid"] for each in processes if each["role"] == "web")
            figures = loops.run(measure(Service(port, folder), pid, options))
    print(
        f"end of a job to its client: p50 {figures['end_p50_ms']:.1f} ms, "
        f"p99 {figures['end_p99_ms']:.1f} ms\n"
        f"{figures['streams']:,} streams: {figures['pss_bytes'] / 1e6:,.0f} MB ("
        f"{figures['empty_pss_bytes'] / 1e6:,.0f} MB before), "
        f"opened {figures['opened_per_second']:,.0f}/s; "
        f"an event reaches all in {figures['reach_ms']:,.0f} ms, the last in "
        f"{figures['final_reach_ms']:,.0f} ms, all closed in {figures['closed_ms']:,.0f} ms"
    )
    aims = {"aim_bytes": AIM_BYTES, "aim_reach_ms": AIM_REACH_MS, "aim_end_ms": AIM_END_MS}
    _facts.save("events", aims | figures)


def _allow_files(count: int) -> None:
    """Have this process, and what it starts, open so many files. Exits if it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"{count} open files are needed, and {hard} allowed: see `ulimit -Hn`")
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


if __name__ == "__main__":
    main()
