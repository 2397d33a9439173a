"""The case that onecopy is for: 8 GB of ordinary Python objects, four processes read all of it.

`python -m benchmarks.eight_gigabytes`: needs 10 GB of free memory. Copies: what all processes take,
by the parent alone before it forked. Aim: at most 1.02.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from typing import Any, Final

from benchmarks import _facts, readers
from benchmarks.records import read_all, records
from onecopy import heap

READERS: Final = 4
AIM: Final = 1.02
# Enough for the data, the seal, and what else runs on the machine.
SPARE_BYTES: Final = 2_000_000_000
BYTES_PER_RECORD: Final = 635


def measure(size_bytes: int) -> dict[str, Any]:
    """Load, seal, fork, read, in this process."""
    gc.disable()
    started = time.perf_counter()
    data = records(size_bytes // BYTES_PER_RECORD)
    loaded = time.perf_counter() - started
    plain = readers.own_pss()
    print(f"loaded {plain / 1e9:.2f} GB in {loaded:.0f} s", flush=True)
    report = heap.seal({"records": data})
    if not report.immortal:
        raise RuntimeError(report.reason)
    one = readers.own_pss()
    print(f"sealed {report.objects:,} objects in {report.seconds:.1f} s", flush=True)
    forked = time.perf_counter()
    if os.fork() == 0:
        os._exit(0)
    fork_seconds = time.perf_counter() - forked
    os.wait()
    total = readers.total_pss(READERS, lambda: read_all(data))
    print(f"{READERS} readers of everything: {total / 1e9:.2f} GB in all, {total / one:.4f} copies")
    return {
        "readers": READERS,
        "aim": AIM,
        "objects": report.objects,
        "load_seconds": loaded,
        "seal_seconds": report.seconds,
        "fork_seconds": fork_seconds,
        "plain_bytes": plain,
        "bytes": report.bytes,
        "one_copy_bytes": one,
        "total_bytes": total,
        "copies": total / one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8.0, help="how much data")
    options = parser.parse_args()
    wanted = int(options.gigabytes * 1e9)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if free < wanted + SPARE_BYTES:
        raise SystemExit(f"{free / 1e9:.1f} GB of memory are free: too few for {wanted / 1e9:.1f}")
    _facts.save("eight_gigabytes", measure(wanted))


if __name__ == "__main__":
    main()
