"""The Redis store keeps the contract."""

import secrets

import pytest

from onecopy.redis_address import RedisAddress
from onecopy.stores.redis import RedisStore
from onecopy.testing import StoreContract
from onecopy.testing.store_model import check_against_model
from servers.redis import Redis


def new_store(server: Redis) -> RedisStore:
    """A store on a server that others use too."""
    url = f"{server.url}?prefix={secrets.token_hex(6)}"
    return RedisStore(RedisAddress.parse(url, "store"))


class TestRedisStore(StoreContract):
    @pytest.fixture
    def store(self, redis_server: Redis) -> RedisStore:
        return new_store(redis_server)


def test_random_calls(redis_server: Redis) -> None:
    check_against_model(lambda: new_store(redis_server))
