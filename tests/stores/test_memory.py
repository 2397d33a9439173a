"""The store in memory, written from the protocol's docstrings alone, keeps the contract."""

import pytest

from onecopy.stores.memory import MemoryStore
from onecopy.testing import StoreContract


class TestMemoryStore(StoreContract):
    shared_by_processes = False

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
