from pathlib import Path

import pytest

from tests.server import apps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a plain ASGI app in `plain.py`."""
    (tmp_path / "plain.py").write_text(apps.PLAIN)
    return tmp_path
