"""What is alive at a fork and is not carried over it: the threads of the process.

A fork copies the thread that calls it and no other: in the child the other threads are gone, and a
lock that one of them held stays locked for ever. So whoever forks workers names them in a warning.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_TASKS = Path("/proc/self/task")
_MOMENT = 0.25
"""Seconds that a native thread is given to end before it counts."""


def other_threads() -> list[str]:
    """Names every live thread of this process but the calling one.

    Threads of Python come first, by their names (`threading.enumerate`). Threads that a library
    started outside Python follow by the names that the kernel has for them, with the word "native";
    they are known on Linux only (`/proc/self/task/*/comm`).
    """
    own_id = threading.get_native_id()
    threads = [thread for thread in threading.enumerate() if thread.native_id != own_id]
    known = {own_id, *(thread.native_id for thread in threads)}
    native = _native_names(known)
    # A thread of Python that has been joined is still in the kernel's list for a moment.
    ends = time.monotonic() + _MOMENT
    while native and time.monotonic() < ends:
        time.sleep(0.005)
        native = _native_names(known)
    return [thread.name for thread in threads] + [f"{name} (native)" for name in native]


def _native_names(known: set[int | None]) -> list[str]:
    """The kernel's names of the threads that are not in `known`; none where there is no /proc."""
    try:
        ids = sorted(int(name) for name in os.listdir(_TASKS))
    except OSError:
        return []
    names: list[str] = []
    for native_id in ids:
        if native_id in known:
            continue
        try:
            names.append((_TASKS / str(native_id) / "comm").read_text().strip())
        except OSError:  # it ended between the listing and the reading
            continue
    return names
