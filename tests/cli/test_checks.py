"""What the doctor says of machines that this one is not."""

import errno
import os
import platform
import sysconfig
from pathlib import Path

import pytest

from onecopy import heap
from onecopy.cli import checks


def kernel(monkeypatch: pytest.MonkeyPatch, release: str, files: dict[str, str]) -> None:
    """Pretend to run on another kernel, with these settings."""

    def read(path: str) -> str:
        return files.get(Path(path).name, "")

    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(checks, "_read", read)


@pytest.mark.parametrize(
    ("release", "setting", "verdict"),
    [
        ("5.4.0-generic", "[always] madvise never", "warning"),
        ("5.4.0-generic", "always [madvise] never", "ok"),
        ("5.8.0", "[always] madvise never", "ok"),
        ("6.18.44-fc", "[always] madvise never", "ok"),
        ("5.4.0-generic", "", "ok"),
    ],
)
def test_huge_pages_are_a_burden_to_old_kernels_only(
    monkeypatch: pytest.MonkeyPatch, release: str, setting: str, verdict: str
) -> None:
    kernel(monkeypatch, release, {"enabled": setting})
    assert checks.check_huge_pages().verdict == verdict


@pytest.mark.parametrize(("mode", "verdict"), [("0", "ok"), ("1", "ok"), ("2", "warning")])
def test_strict_overcommit_is_in_the_way_of_large_forks(
    monkeypatch: pytest.MonkeyPatch, mode: str, verdict: str
) -> None:
    kernel(monkeypatch, "6.1", {"overcommit_memory": mode})
    found = checks.check_overcommit()
    assert (found.verdict, found.cure is None) == (verdict, verdict == "ok")


def test_a_fork_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    found = checks.check_fork()
    assert (found.verdict, found.found) == ("problem", os.strerror(errno.EAGAIN))


def test_a_free_threaded_build_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_the_build(name: str) -> int:
        return int(name == "Py_GIL_DISABLED")

    monkeypatch.setattr(sysconfig, "get_config_var", of_the_build)
    found = checks.check_python()
    assert found.verdict == "problem"
    assert "free-threaded" in found.found


def test_where_memory_cannot_be_told_apart_it_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    def resident_size_alone(pids: list[int]) -> dict[int, heap.ProcessMemory]:
        return {pid: heap.ProcessMemory(pid, 1, 1, 0, False) for pid in pids}

    monkeypatch.setattr(heap, "memory", resident_size_alone)
    assert checks.check_measuring().verdict == "warning"


def test_the_limit_of_a_cgroup_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "memory_limit", lambda: 500_000_000)
    assert checks.usable_memory() == 500_000_000
    assert checks.check_memory_limit().found.startswith("500.0 MB of ")
    monkeypatch.setattr(checks, "memory_limit", lambda: 1 << 59)
    assert checks.check_memory_limit().found.endswith("no limit of a cgroup")


def test_a_state_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    assert checks.check_state_folder(str(there)).verdict == "ok"
    later = checks.check_state_folder(str(tmp_path / "not" / "yet"))
    assert later.verdict == "ok"
    assert later.found.endswith("is made by the first run")
    assert sorted(tmp_path.rglob("*")) == [there]


def test_a_state_folder_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = checks.check_state_folder(str(tmp_path / "file" / "state"))
    assert found.verdict == "problem"
    assert "Not a directory" in found.found
    assert "ONECOPY_STATE_DIR" in str(found.cure)
