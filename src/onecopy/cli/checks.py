"""What `onecopy doctor` looks at on a machine, each with a verdict and, where needed, a cure."""

import importlib
import importlib.metadata
import os
import platform
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from onecopy import heap
from onecopy.server.cgroup import cpu_limit, memory_limit
from onecopy.server.control_server import open_socket
from onecopy.server.cpus import usable_cpus
from onecopy.server.narration import megabytes

_VERSIONS: Final = range(12, 16)
"""Minor versions of Python 3 that the seal knows."""
_PACKAGES: Final = {
    "uvicorn": "nothing runs",
    "uvloop": "requests are answered more slowly",
    "httptools": "requests are answered more slowly",
    "watchfiles": "--reload cannot be had",
}
"""What each package is for, as what is lost without it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    verdict: ok; warning: it works, but less well; problem: memory is not shared, or nothing runs.
    found: what was found.
    cure: what to do about it, where something is to be done.
    """

    name: str
    verdict: Literal["ok", "warning", "problem"]
    found: str
    cure: str | None = None


def machine_checks(state_dir: str) -> Iterator[Check]:
    """Look at this machine and this Python."""
    yield check_python()
    yield check_extension()
    yield check_self_test()
    yield check_system()
    yield check_fork()
    yield check_measuring()
    yield check_memory_limit()
    yield check_processors()
    if sys.platform == "linux":
        yield check_overcommit()
        yield check_huge_pages()
    yield check_state_folder(state_dir)
    yield check_packages()


def check_python() -> Check:
    """Whether this is a build of Python whose heap can be sealed."""
    bits = 64 if sys.maxsize > 2**32 else 32
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    debug = hasattr(sys, "gettotalrefcount")
    build = f"{bits}-bit, {'free-threaded' if free_threaded else 'with the GIL'}"
    found = f"{platform.python_implementation()} {platform.python_version()}, {build}"
    if debug:
        found += ", debug"
    fits = sys.implementation.name == "cpython" and bits == 64 and not free_threaded and not debug
    if fits and sys.version_info.minor in _VERSIONS:
        return Check("Python", "ok", found)
    return Check(
        "Python",
        "problem",
        found,
        "memory is shared under CPython 3.12 to 3.15, 64-bit, with the GIL, as a release build: "
        "make the environment anew with one of these",
    )


def check_extension() -> Check:
    """Whether the compiled part of onecopy is there."""
    try:
        module = importlib.import_module("onecopy.heap._immortal")
    except ImportError as error:
        return Check(
            "extension",
            "problem",
            f"cannot be imported: {error}",
            "install onecopy again, with a C compiler where there is no wheel for this system",
        )
    return Check("extension", "ok", os.path.basename(str(module.__file__)))


def check_self_test() -> Check:
    """Whether sealed objects stay as they are on this very interpreter."""
    tried = heap.self_test()
    if tried.works:
        return Check("self-test", "ok", "sealed objects stay untouched when they are used")
    return Check(
        "self-test",
        "problem",
        tried.reason or "failed",
        "services run, but each worker copies what it reads: see the lines above",
    )


def check_system() -> Check:
    """Whether the system is the one that onecopy is made for."""
    found = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if sys.platform == "linux":
        return Check("system", "ok", found)
    return Check("system", "warning", found, "Linux is the target: here less is measured")


def check_fork() -> Check:
    """Whether a process can be forked."""
    began = time.perf_counter()
    try:
        pid = os.fork()
    except OSError as error:
        return Check(
            "fork",
            "problem",
            error.strerror or str(error),
            "raise the limit of processes or memory",
        )
    if pid == 0:
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    took = f"{(time.perf_counter() - began) * 1000:.1f} ms"
    if status != 0:
        return Check("fork", "problem", f"the child ended with status {status}")
    return Check("fork", "ok", f"forked and ended in {took}")


def check_measuring() -> Check:
    """Whether the kernel tells shared from private memory."""
    pid = os.getpid()
    try:
        found = heap.memory([pid]).get(pid)
    except PermissionError:
        found = None
    if found is not None and found.exact:
        return Check("measuring", "ok", "the kernel tells shared from private memory")
    return Check(
        "measuring",
        "warning",
        "the system does not tell shared from private memory",
        "onecopy memory and --max-worker-memory count shared memory in each process; measure "
        "where /proc/<pid>/smaps_rollup can be read",
    )


def check_memory_limit() -> Check:
    """How much memory there is for everything."""
    machine, usable = _machine_memory(), usable_memory()
    if usable == machine:
        return Check("memory", "ok", f"{megabytes(machine)}, no limit of a cgroup")
    return Check("memory", "ok", f"{megabytes(usable)} of {megabytes(machine)} (cgroup)")


def usable_memory() -> int:
    """Return the bytes of memory of this machine, or of this cgroup if it may have less."""
    limit = memory_limit()
    return _machine_memory() if limit is None else min(limit, _machine_memory())


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_processors() -> Check:
    """How many workers can run at a time."""
    count, limit = usable_cpus(), cpu_limit()
    there = os.cpu_count() or 1
    said = f"{count} of {there}"
    if limit is not None:
        said += f" (cgroup: {limit:g})"
    return Check("processors", "ok", f"{said}: --workers is {count} unless told otherwise")


def check_overcommit() -> Check:
    """Whether the kernel lets a large process fork."""
    mode = _read("/proc/sys/vm/overcommit_memory")
    if mode != "2":
        return Check("overcommit", "ok", f"vm.overcommit_memory = {mode or '?'}")
    return Check(
        "overcommit",
        "warning",
        "vm.overcommit_memory = 2: every fork counts as a whole copy",
        "forks of a large image fail with 'Cannot allocate memory': set vm.overcommit_memory to 0",
    )


def check_huge_pages() -> Check:
    """Whether one write to shared memory copies one page, or 2 MB.

    Until Linux 5.8 a write to a shared huge page copied all of it; since then the page is split,
    and 4 kB are copied.
    """
    setting = _read("/sys/kernel/mm/transparent_hugepage/enabled")
    chosen = setting.partition("[")[2].partition("]")[0] or "not there"
    if chosen != "always" or _kernel() >= (5, 8):
        return Check("huge pages", "ok", chosen)
    return Check(
        "huge pages",
        "warning",
        f"{chosen}, and Linux {platform.release()} copies 2 MB at one write",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
    )


def check_state_folder(folder: str) -> Check:
    """Whether a run can keep its socket there; nothing is left behind."""
    path = Path(folder).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    try:
        # A folder of its own: neither name nor mode is in the way of a service that runs.
        with tempfile.TemporaryDirectory(prefix=".onecopy-doctor-", dir=there) as trial:
            open_socket(trial, os.getpid()).close()
            Path(trial, "written").write_bytes(b"\0" * 65536)
    except OSError as error:
        return Check(
            "state folder",
            "problem",
            f"{folder}: {error.strerror or error}",
            "name one that can be written with --state-dir or ONECOPY_STATE_DIR",
        )
    made = "" if there == path else ", and is made by the first run"
    return Check("state folder", "ok", f"{folder} can be written{made}")


def check_packages() -> Check:
    """Which packages that servers use are there."""
    there: list[str] = []
    lost: dict[str, list[str]] = {}
    for name, loss in _PACKAGES.items():
        try:
            importlib.import_module(name)
        except ImportError:
            lost.setdefault(loss, []).append(name)
        else:
            there.append(f"{name} {importlib.metadata.version(name)}")
    found = ", ".join(there)
    if not lost:
        return Check("packages", "ok", found)
    losses = "; ".join(f"without {' and '.join(names)} {loss}" for loss, names in lost.items())
    return Check(
        "packages",
        "problem" if "uvicorn" in losses else "warning",
        f"{found}; {losses}",
        'pip install "onecopy[standard]"',
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _kernel() -> tuple[int, ...]:
    words = platform.release().split("-")[0].split(".")[:2]
    return tuple(int(word) for word in words if word.isdigit())
