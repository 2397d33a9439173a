"""Small disks, which a test can fill."""

import os
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small() -> Generator[Path]:
    """Mount a file system of one megabyte, which every user may look into; that takes root."""
    with tempfile.TemporaryDirectory(prefix="onecopy-disk-") as name:
        folder = Path(name)
        options = ("-t", "tmpfs", "-o", "size=1m,mode=755", "onecopy")
        if os.geteuid() != 0 or mount(folder, *options):
            pytest.skip("mounting a small disk takes root")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, *options: str) -> int:
    """Return 0 once it is mounted."""
    return subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode


def make_room(folder: Path) -> None:
    """Have a disk be larger."""
    assert mount(folder, "-o", "remount,size=16m") == 0
