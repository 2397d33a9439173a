"""How many processors this process may use."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """Return the processors this process may run on, the cgroup's limit included (at least 1).

    A limit of 1.5 processors counts as 2: a worker more waits less than a processor idles.
    Sources: sched_getaffinity(2); the kernel's cgroup-v2 document (cpu.max).
    """
    counts = [_affinity()]
    limit = _cgroup_limit()
    if limit is not None:
        counts.append(math.ceil(limit))
    return max(1, min(counts))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_limit() -> float | None:
    """Return the smallest limit of this process's cgroup and those above it; None without one."""
    limits = [limit for folder in _cgroup_folders() if (limit := _read_limit(folder)) is not None]
    return min(limits, default=None)


def _cgroup_folders() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    folder = _CGROUP / own.lstrip("/")
    return [folder, *folder.parents][: len(Path(own).parts) + 1]


def _read_limit(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)
