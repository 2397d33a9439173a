"""How much memory a process holds by itself, and how much it shares, as the kernel counts it.

The supervisor imports this module alone: it imports nothing but `os` and `sys`.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class ProcessMemory:
    """The memory of one process, in bytes.

    Attributes:
        pid: the process.
        pss_bytes: its proportional share: private memory, plus each shared page divided by the
            number of processes that map it. The sum over all processes is what they really take.
        private_bytes: pages that no other process maps.
        shared_bytes: pages that it shares with others, counted in full.
        exact: False where the kernel tells less (macOS, gVisor): then all of it counts as private.
    """

    __slots__ = ("exact", "pid", "private_bytes", "pss_bytes", "shared_bytes")

    def __init__(
        self, pid: int, pss_bytes: int, private_bytes: int, shared_bytes: int, exact: bool = True
    ) -> None:
        self.pid = pid
        self.pss_bytes = pss_bytes
        self.private_bytes = private_bytes
        self.shared_bytes = shared_bytes
        self.exact = exact

    def __repr__(self) -> str:
        return (
            f"ProcessMemory(pid={self.pid}, pss_bytes={self.pss_bytes}, "
            f"private_bytes={self.private_bytes}, shared_bytes={self.shared_bytes}, "
            f"exact={self.exact})"
        )


def memory(pids: "Iterable[int]") -> "dict[int, ProcessMemory]":
    """Measure processes: `/proc/<pid>/smaps_rollup` on Linux, the size that `ps` tells elsewhere.

    A process that is gone is left out.

    Raises:
        PermissionError: a process belongs to another user.
    """
    measured: dict[int, ProcessMemory] = {}
    for pid in pids:
        found = _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)
        if found is not None:
            measured[pid] = found
    return measured


def parse_rollup(pid: int, text: str) -> "ProcessMemory | None":
    """Read the text of a `smaps_rollup`; None if it is empty, as for a process that has ended."""
    if "\nPss:" not in text:
        return None
    pss = rollup_bytes(text, "Pss:")
    return ProcessMemory(pid, pss, rollup_bytes(text, "Private_"), rollup_bytes(text, "Shared_"))


def rollup_bytes(text: str, start: str) -> int:
    """The sum of the lines of a `smaps_rollup` that begin so, in bytes."""
    lines = (line for line in text.splitlines() if line.startswith(start))
    return sum(int(line.split()[1]) * 1024 for line in lines)


def _from_proc(pid: int) -> "ProcessMemory | None":
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return parse_rollup(pid, file.read())
    except FileNotFoundError:
        return _from_statm(pid)
    except ProcessLookupError:
        return None


def _from_statm(pid: int) -> "ProcessMemory | None":
    """For a Linux without smaps_rollup (gVisor): the resident size, and what of it is shared."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            fields = file.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    resident, shared = int(fields[1]) * page, int(fields[2]) * page
    return ProcessMemory(pid, resident, resident - shared, shared, exact=False)


def _from_ps(pid: int) -> "ProcessMemory | None":
    import subprocess

    answer = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    text = answer.stdout.strip()
    if not text:
        return None
    resident = int(text) * 1024
    return ProcessMemory(pid, resident, resident, 0, exact=False)
