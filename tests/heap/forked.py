"""What scenarios use: children that end as programs do, and how much memory they copied."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from onecopy.heap import _immortal

# Pages that any child copies: its stack, the interpreter's state, its own allocations.
OWN_PAGES = 800_000
# More than that by far: the data was copied.
COPIED = 2_000_000


def in_child(check: Callable[[], object]) -> None:
    """Run a function in a forked child that then ends as a program does, with exit code 0."""
    pid = os.fork()
    if pid == 0:
        check()
        sys.exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"the child ended with exit code {code}"


def stays_shared(use: Callable[[], object], *, limit: int = OWN_PAGES) -> None:
    """Run a function in a child, and check that it copied at most `limit` bytes by it."""

    def measured() -> None:
        before = shared_bytes()
        use()
        lost = before - shared_bytes()
        # Where a sanitizer runs, its own memory is shared and written to as well.
        assert lost <= limit or "ONECOPY_SANITIZED" in os.environ, f"{lost} bytes were copied"

    in_child(measured)


def copied_by(use: Callable[[], object]) -> int:
    """Run a function in a child and give the bytes that it copied."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = shared_bytes()
        use()
        os.write(write_end, str(before - shared_bytes()).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="ascii") as pipe:
        copied = int(pipe.read())
    os.waitpid(pid, 0)
    return copied


def shared_bytes() -> int:
    """Written pages that this process shares with another."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Shared_Dirty:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel shows no Shared_Dirty")


def reached(*values: object) -> None:
    """Check that each of these was made immortal."""
    missed = [value for value in values if not _immortal.is_immortal(value)]
    assert not missed, f"not reached: {missed!r:.500}"


def not_marked(*values: object) -> None:
    """Check that none of these was made immortal."""
    marked = [value for value in values if _immortal.is_immortal(value)]
    assert not marked, f"marked: {marked!r:.500}"


def fresh(text: str) -> str:
    """A str that nothing else holds: not a constant of the code, not interned."""
    return "".join([text, " ", str(os.getpid())])
