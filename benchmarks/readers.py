"""Forked readers: children that all use the data, and the memory that all processes take."""

from __future__ import annotations

import os
from collections.abc import Callable

from onecopy.heap import memory


def total_pss(readers: int, use: Callable[[], object]) -> int:
    """Fork readers, let each use the data to the end, and sum the PSS of all processes, in bytes.

    What `use` returns is kept by each reader while the memory is measured.

    Raises:
        RuntimeError: a reader failed.
    """
    done_read, done_write = os.pipe()
    stay_read, stay_write = os.pipe()
    pids: list[int] = []
    for _ in range(readers):
        pid = os.fork()
        if pid == 0:
            os.close(stay_write)
            _read(use, done_write, stay_read)
        pids.append(pid)
    os.close(done_write)
    os.close(stay_read)
    said = b""
    while len(said) < readers and (more := os.read(done_read, readers)):
        said += more
    total = sum(found.pss_bytes for found in memory([os.getpid(), *pids]).values())
    os.close(stay_write)
    os.close(done_read)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(codes) or len(said) < readers:
        raise RuntimeError(f"readers ended with exit codes {codes}")
    return total


def _read(use: Callable[[], object], done: int, stay: int) -> None:
    """In a reader: use the data, say so, and stay until the parent has measured."""
    try:
        kept = use()
        os.write(done, b".")
        os.read(stay, 1)
        del kept
        os._exit(0)
    finally:
        os._exit(1)


def own_pss() -> int:
    """The PSS of this process, in bytes."""
    return memory([os.getpid()])[os.getpid()].pss_bytes


def peak_bytes() -> int:
    """The highest resident size of this process since `forget_peak`, in bytes."""
    return _status("VmHWM")


def resident_bytes() -> int:
    """The resident size of this process, in bytes."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Let the peak start from the present resident size."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")
