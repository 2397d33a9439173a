"""The PostgreSQL engine keeps the contract."""

import pytest

from onecopy.engines.postgres import PostgresEngine
from onecopy.postgres_address import PostgresAddress
from onecopy.testing import EngineContract
from onecopy.testing._engines import Connect


class TestPostgresEngine(EngineContract):
    @pytest.fixture
    def connect(self, postgres_url: str) -> Connect:
        address = PostgresAddress.parse(postgres_url, "engine")
        return lambda: PostgresEngine(address)
