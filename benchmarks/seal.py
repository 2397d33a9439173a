"""How long a seal takes, and the memory it needs for itself, by the number of objects.

`python -m benchmarks.seal`: 1, 10 and 50 million ordinary objects, each in a process of its own.
Aim: at most 0.5 s and 5% extra memory for each 10 million.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from typing import Final

from benchmarks import _facts, readers
from benchmarks.records import OBJECTS_PER_RECORD, records
from onecopy import heap

MILLIONS: Final = (1, 10, 50)
AIM_SECONDS: Final = 0.5
AIM_EXTRA: Final = 0.05


def measure(millions: int) -> dict[str, float]:
    """Make the objects and seal them, in this process; memory in bytes."""
    gc.disable()
    data = records(millions * 1_000_000 // OBJECTS_PER_RECORD)
    before = readers.resident_bytes()
    readers.forget_peak()
    cpu = time.process_time()
    report = heap.seal()
    cpu = time.process_time() - cpu
    if not report.immortal:
        raise RuntimeError(report.reason)
    peak = readers.peak_bytes()
    assert data
    return {
        "objects": report.objects,
        "seconds": report.seconds,
        "cpu_seconds": cpu,
        "bytes": before,
        "peak_extra_bytes": peak - before,
    }


def _apart(millions: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.seal", "--here", str(millions)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(ended.stderr)
    return json.loads(ended.stdout)


def _fastest(millions: int, repeat: int) -> dict[str, float]:
    """The fastest of some runs: what else the machine does only adds to it."""
    runs = [_apart(millions) for _ in range(repeat)]
    best = min(runs, key=lambda run: run["seconds"])
    per_ten_million = best["seconds"] / best["objects"] * 10_000_000
    print(
        f"{best['objects']:>11,} objects: {best['seconds']:.2f} s, {per_ten_million:.2f} s for 10 "
        f"million (all runs: {', '.join(f'{run["seconds"]:.2f}' for run in runs)}); at most "
        f"{best['peak_extra_bytes'] / 1e6:.1f} MB more than {best['bytes'] / 1e6:,.0f} MB",
        flush=True,
    )
    return {**best, "slowest_seconds": max(run["seconds"] for run in runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, the fastest counts")
    parser.add_argument("--here", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here is not None:
        print(json.dumps(measure(options.here)))
        return
    runs = [_fastest(millions, options.repeat) for millions in MILLIONS]
    _facts.save("seal", {"aim_seconds": AIM_SECONDS, "aim_extra": AIM_EXTRA, "runs": runs})


if __name__ == "__main__":
    main()
