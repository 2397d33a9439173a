"""The PostgreSQL store keeps the contract."""

import secrets

import pytest

from onecopy.postgres_address import PostgresAddress
from onecopy.stores.postgres import PostgresStore
from onecopy.testing import StoreContract
from onecopy.testing.store_model import check_against_model
from servers.postgres import Postgres


def new_store(server: Postgres) -> PostgresStore:
    """A store on a server that others use too."""
    url = f"{server.url}?schema=test_{secrets.token_hex(6)}"
    return PostgresStore(PostgresAddress.parse(url, "store"))


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, postgres_server: Postgres) -> PostgresStore:
        return new_store(postgres_server)


def test_random_calls(postgres_server: Postgres) -> None:
    check_against_model(lambda: new_store(postgres_server), examples=4)
