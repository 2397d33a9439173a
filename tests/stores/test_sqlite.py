"""The SQLite store keeps the contract."""

from pathlib import Path

import pytest

from onecopy.stores.sqlite import SQLiteStore
from onecopy.testing import StoreContract


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SQLiteStore:
        return SQLiteStore(tmp_path / "state" / "jobs.db")
