"""Figures of a run, as the supervisor tells them: which processes there are, what they hold."""

from __future__ import annotations

import os
import sys
import time

from onecopy.heap._memory import memory
from onecopy.server.narration import megabytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from onecopy.server.generation import Generation


def processes(generations: Sequence[Generation], started: float) -> list[dict[str, Any]]:
    """Return all processes of a run: role, generation and age of each.

    Args:
        generations: the oldest first.
        started: when the supervisor did (monotonic seconds).
    """
    newest = generations[-1].number if generations else 0
    found = [_process(os.getpid(), "supervisor", newest, started)]
    found += [
        _process(each.image.pid, "image", each.number, each.image.started)
        for each in generations
        if each.image.pid is not None
    ]
    for each in generations:
        found += [
            _process(worker.pid, worker.role, each.number, worker.started)
            for worker in each.workers
            if worker.pid is not None
        ]
    return found


def _process(pid: int, role: str, generation: int, since: float) -> dict[str, Any]:
    uptime = round(time.monotonic() - since, 3)
    return {"pid": pid, "role": role, "generation": generation, "uptime_seconds": uptime}


def one_process(generation: Generation) -> int:
    """Return the bytes that one process with the app and all its data takes."""
    found = memory([w.pid for w in generation.workers if w.pid is not None]).values()
    own = sum(process.private_bytes for process in found) // max(1, len(found))
    return generation.facts.get("image_bytes", 0) + own


def of_the_start(generation: Generation, seconds: float) -> list[str]:
    """Return what a start came to, in lines: one copy against as many as there are workers."""
    workers = generation.ready_workers()
    count = len(workers)
    pids = [os.getpid(), generation.image.pid, *(w.pid for w in workers)]
    found = memory([pid for pid in pids if pid is not None])
    ready = f"{count} {'workers' if count != 1 else 'worker'} ready after {seconds:.1f} s"
    if sys.platform != "linux":
        less = "this system does not tell shared from private memory, and supervises less"
        return [ready, f"{less}: onecopy is made for Linux"]
    total = megabytes(sum(process.pss_bytes for process in found.values()))
    separate = megabytes(one_process(generation) * count)
    return [
        f"{ready}: all processes hold {total}; {count} separate processes would hold {separate}"
    ]
