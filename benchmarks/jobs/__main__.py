"""A job that does nothing, from submit to result, through one worker: onecopy and its peers.

`python -m benchmarks.jobs`: 32 submitters in one process, each of which waits for its result; the
same jobs in bursts, all submitted before the first is waited for; and one submitter alone.
Aims: ten times Celery's jobs a second; a median of at most 1 ms when idle.

The workers of all peers run side by side and are measured in turns. Needs redis-server, or does
without the peers that need it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks import _facts
from benchmarks.jobs.peers import CELERY, PEERS
from benchmarks.jobs.turns import Size, measure
from servers import redis

AIM_TIMES_CELERY: Final = 10.0
AIM_IDLE_MS: Final = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=4, help="turns of all peers")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--submitters", type=int, default=32)
    parser.add_argument("--burst", type=int, default=2048, help="jobs that are submitted at once")
    parser.add_argument("--only", nargs="*", help="names of peers; nothing is written then")
    parser.add_argument("--short", action="store_true", help="one round of one second each")
    options = parser.parse_args()
    size = Size(options.rounds, options.seconds, options.submitters, options.burst)
    if options.short:
        size = Size(1, 1.0, options.submitters, 256)
    peers = [peer for peer in PEERS if options.only is None or peer.app in options.only]
    for peer in peers:
        if reason := peer.missing():
            print(f"{peer.name} is left out: {reason}", file=sys.stderr)
    peers = [peer for peer in peers if peer.missing() is None]
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(peers, Path(folder), size)
    for row in rows:
        print(_line(row, rows))
    if options.only is None:
        _facts.save("jobs", {**_sizes(size), "redis": redis.version(), "peers": rows})


def _sizes(size: Size) -> dict[str, Any]:
    return {
        "submitters": size.submitters,
        "burst": size.burst,
        "aim_times_celery": AIM_TIMES_CELERY,
        "aim_idle_ms": AIM_IDLE_MS,
    }


def _line(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    celery = next((each for each in rows if each["name"] == CELERY.name), None)
    times = f" ({row['jobs_per_second'] / celery['jobs_per_second']:.1f})" if celery else ""
    return (
        f"{row['name']:>20}: {row['jobs_per_second']:>6,.0f} jobs/s{times}, "
        f"p50 {row['loaded_p50_ms']:.1f} ms, p99 {row['loaded_p99_ms']:.1f} ms; "
        f"in bursts {row['burst_jobs_per_second']:>6,.0f} jobs/s; "
        f"idle p50 {row['idle_p50_ms']:.2f} ms, p99 {row['idle_p99_ms']:.2f} ms"
    )


if __name__ == "__main__":
    main()
