from collections.abc import Generator
from pathlib import Path

import pytest

from tests import disks


@pytest.fixture
def small_disk() -> Generator[Path]:
    """A file system of one megabyte."""
    with disks.small() as folder:
        yield folder
