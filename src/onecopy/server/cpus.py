"""How many processors this process may use."""

import math
import os

from onecopy.server.cgroup import cpu_limit


def usable_cpus() -> int:
    """Return the processors this process may run on, the cgroup's limit included (at least 1).

    A limit of 1.5 processors counts as 2: a worker more waits less than a processor idles.
    Source: sched_getaffinity(2).
    """
    counts = [_affinity()]
    limit = cpu_limit()
    if limit is not None:
        counts.append(math.ceil(limit))
    return max(1, min(counts))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
