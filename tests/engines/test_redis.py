"""The Redis engine keeps the contract."""

import secrets
from collections.abc import Callable

import pytest

from onecopy.engines.redis import RedisEngine
from onecopy.redis_address import RedisAddress
from onecopy.testing import EngineContract
from servers.redis import Redis


def connect_to(url: str) -> Callable[[], RedisEngine]:
    """What makes engines that hear of each other, and of no others."""
    address = RedisAddress.parse(f"{url}?prefix={secrets.token_hex(6)}", "engine")
    return lambda: RedisEngine(address)


class TestRedisEngine(EngineContract):
    @pytest.fixture
    def connect(self, redis_server: Redis) -> Callable[[], RedisEngine]:
        return connect_to(redis_server.url)
