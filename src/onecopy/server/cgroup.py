"""Limits of the control group that this process is in: version 2, and version 1 where it lives on.

Sources: the kernel's cgroup-v2 document (memory.max, cpu.max); its cgroup-v1 documents
(memory.limit_in_bytes, cpu.cfs_quota_us).
"""

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_V1_NO_LIMIT = 1 << 60
"""Version 1 writes the highest number of pages there is where it has no limit."""


def memory_limit() -> int | None:
    """Return the memory limit in bytes, the smallest of this group and those above; or None."""
    return min(_memory_limits(), default=None)


def cpu_limit() -> float | None:
    """Return the limit of processors, the smallest of this group and those above; or None."""
    return min(_cpu_limits(), default=None)


def _memory_limits() -> Iterator[int]:
    for folder in _folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _words(folder / name)
            if words and words[0] != "max" and int(words[0]) < _V1_NO_LIMIT:
                yield int(words[0])


def _cpu_limits() -> Iterator[float]:
    for folder in _folders("cpu"):
        words = _words(folder / "cpu.max")
        if not words:
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0] not in ("max", "-1"):
            yield int(words[0]) / int(words[1])


def _folders(controller: str) -> Iterator[Path]:
    """The folder of this process's group and those above it."""
    own: dict[str, str] = {}
    for line in _lines(_OWN):
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    base = _ROOT / controller if controller in own else _ROOT
    folder = base / own.get(controller, own.get("", "/")).lstrip("/")
    return (each for each in (folder, *folder.parents) if each.is_relative_to(base))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()
