"""What the kernel says of a process's memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onecopy import heap
from onecopy.heap import _memory

ROLLUP = """\
55a6c0a43000-7ffd1b3f9000 ---p 00000000 00:00 0                          [rollup]
Rss:               42160 kB
Pss:               20151 kB
Pss_Dirty:         19380 kB
Pss_Anon:          19380 kB
Shared_Clean:       3772 kB
Shared_Dirty:      38016 kB
Private_Clean:        12 kB
Private_Dirty:       372 kB
Referenced:         4492 kB
Shared_Hugetlb:        1 kB
Private_Hugetlb:       2 kB
Swap:                  0 kB
"""


def test_a_rollup_is_read() -> None:
    found = _memory.parse_rollup(7, ROLLUP)
    assert found is not None
    assert (found.pid, found.exact) == (7, True)
    assert found.pss_bytes == 20151 * 1024
    assert found.shared_bytes == (3772 + 38016 + 1) * 1024
    assert found.private_bytes == (12 + 372 + 2) * 1024
    assert "pss_bytes=20634624" in repr(found)


def test_the_rollup_of_a_process_that_has_just_ended_is_empty() -> None:
    assert _memory.parse_rollup(7, "") is None


def test_this_process_is_measured() -> None:
    found = heap.memory([os.getpid()])[os.getpid()]
    assert found.exact
    assert found.pss_bytes > 5_000_000
    assert 0 < found.private_bytes <= found.pss_bytes


def test_a_process_that_is_gone_is_left_out() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    zombie = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    try:
        assert list(heap.memory([gone.pid, os.getpid(), zombie])) == [os.getpid()]
    finally:
        os.waitpid(zombie, 0)


def test_a_child_shares_what_it_has_not_written() -> None:
    lump = os.urandom(50_000_000)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    try:
        both = heap.memory([os.getpid(), pid])
        assert both[pid].shared_bytes > len(lump)
        assert both[pid].private_bytes < 5_000_000
        assert both[pid].pss_bytes < both[pid].shared_bytes
    finally:
        os.close(write_end)
        os.close(read_end)
        os.waitpid(pid, 0)


def test_a_linux_without_rollups_tells_less(monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = open

    def without_rollup(path: str, *args: str, **named: str) -> object:
        if path.endswith("smaps_rollup"):
            raise FileNotFoundError(path)
        return real_open(path, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(_memory, "open", without_rollup, raising=False)
    found = heap.memory([os.getpid()])[os.getpid()]
    assert not found.exact
    assert found.pss_bytes == found.private_bytes + found.shared_bytes > 5_000_000
    assert heap.memory([2**22 + 1]) == {}


def test_macos_tells_the_resident_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "ps"
    fake.write_text('#!/bin/sh\n[ "$4" = 42 ] && echo "  5000"\nexit 0\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(sys, "platform", "darwin")
    found = heap.memory([42, 43])
    assert list(found) == [42]
    assert (found[42].pss_bytes, found[42].shared_bytes, found[42].exact) == (5_120_000, 0, False)


def test_another_users_process_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, **named: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_memory, "open", refuse, raising=False)
    with pytest.raises(PermissionError):
        heap.memory([1])
