from pathlib import Path

import pytest

from onecopy.server import cgroup
from onecopy.server.cpus import usable_cpus


def group(folder: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str]) -> None:
    """Put this process into a made-up control group."""
    (folder / "own").write_text(own)
    for name, text in files.items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(cgroup, "_ROOT", folder / "root")
    monkeypatch.setattr(cgroup, "_OWN", folder / "own")


def test_version_2_the_smallest_limit_on_the_way_up_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "pods/one/memory.max": "max\n",
        "pods/one/cpu.max": "250000 100000\n",
        "pods/memory.max": "8589934592\n",
        "pods/cpu.max": "150000 100000\n",
        "pods/two/memory.max": "1000\n",
        "cpu.max": "max 100000\n",
    }
    group(tmp_path, monkeypatch, "0::/pods/one\n", files)
    assert cgroup.memory_limit() == 8 << 30
    assert cgroup.cpu_limit() == 1.5


def test_version_2_in_a_container_the_root_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"memory.max": "1000000\n", "cpu.max": "50000 100000\n"}
    group(tmp_path, monkeypatch, "0::/\n", files)
    assert cgroup.memory_limit() == 1_000_000
    assert cgroup.cpu_limit() == 0.5
    assert usable_cpus() == 1


def test_version_1_has_a_folder_for_each_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "memory/docker/a/memory.limit_in_bytes": "2000000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "cpu/docker/a/cpu.cfs_quota_us": "200000\n",
        "cpu/docker/a/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
    }
    own = "5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n0::/\n"
    group(tmp_path, monkeypatch, own, files)
    assert cgroup.memory_limit() == 2_000_000
    assert cgroup.cpu_limit() == 2.0


def test_version_1_a_path_of_the_host_counts_as_the_root_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"memory/memory.limit_in_bytes": "3000000\n"}
    group(tmp_path, monkeypatch, "5:memory:/docker/not-to-be-seen\n", files)
    assert cgroup.memory_limit() == 3_000_000
    assert cgroup.cpu_limit() is None


def test_without_control_groups_there_is_no_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path / "none")
    monkeypatch.setattr(cgroup, "_OWN", tmp_path / "none")
    assert cgroup.memory_limit() is None
    assert cgroup.cpu_limit() is None
