"""The PostgreSQL store keeps the contract."""

import secrets

import pytest

from onecopy.stores.postgres import PostgresStore
from onecopy.testing import StoreContract
from onecopy.testing.store_model import check_against_model
from servers.postgres import Postgres


def new_store(server: Postgres) -> PostgresStore:
    """A store on a server that others use too."""
    return PostgresStore(f"{server.url}?schema=test_{secrets.token_hex(6)}")


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, postgres_server: Postgres) -> PostgresStore:
        return new_store(postgres_server)


def test_random_calls(postgres_server: Postgres) -> None:
    check_against_model(lambda: new_store(postgres_server), examples=4)
