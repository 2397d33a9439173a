"""Each engine beside a store of many hosts: rings go by one server, changes by another.

With either store each way was tried once; here they take turns.
"""

import secrets
from pathlib import Path

import pytest

from onecopy.engines.urls import open_engine, own_engine
from onecopy.testing import EngineContract
from onecopy.testing._engines import Connect
from servers.redis import Redis
from tests.ways import Way


class OnAStore(EngineContract):
    @pytest.fixture
    def connect(self, way: Way, store: str, tmp_path: Path) -> Connect:
        folder = str(tmp_path)
        return lambda: open_engine(way.url, own_engine(store, folder), folder)


@pytest.mark.parametrize("way", ["postgres", "rabbitmq", "celery-redis"], indirect=True)
class TestOnRedis(OnAStore):
    @pytest.fixture
    def store(self, redis_server: Redis) -> str:
        return f"{redis_server.url}?prefix={secrets.token_hex(6)}"


@pytest.mark.parametrize("way", ["redis", "kafka", "celery-rabbitmq"], indirect=True)
class TestOnPostgreSQL(OnAStore):
    @pytest.fixture
    def store(self, postgres_url: str) -> str:
        return postgres_url
