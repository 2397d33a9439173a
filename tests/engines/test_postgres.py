"""The PostgreSQL engine keeps the contract, and hears whatever is asked for meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from onecopy.engines.postgres import PostgresEngine
from onecopy.postgres_address import PostgresAddress
from onecopy.testing import EngineContract
from onecopy.testing._engines import LONG, Connect, opened, ring_until, until
from servers.postgres import Postgres
from tests.proxy import Proxy

_SLOW = "far away"


class TestPostgresEngine(EngineContract):
    @pytest.fixture
    def connect(self, postgres_url: str) -> Connect:
        address = PostgresAddress.parse(postgres_url, "engine")
        return lambda: PostgresEngine(address)


def _is_connected(server: Postgres) -> bool:
    """Whether the engine that is far away is there, and asks for nothing."""
    idle = "SELECT FROM pg_stat_activity WHERE application_name = %s AND state = 'idle'"
    with psycopg.connect(server.url) as connection:
        found = connection.execute(f"{idle} AND query LIKE 'SET %%'", (_SLOW,))
        return found.fetchone() is not None


async def _first(changes: AsyncIterator[str]) -> str:
    return await anext(changes)


def test_rings_are_heard_by_who_asks_while_it_is_listened_to_changes(
    postgres_server: Postgres, postgres_url: str
) -> None:
    """A worker begins both at once, and the server may take a while to answer."""

    async def scenario() -> None:
        async with opened(lambda: PostgresEngine(there), 1) as (web,):
            worker = PostgresEngine(behind)
            await worker.open()
            await until(lambda: _is_connected(postgres_server))
            proxy.delay = 0.3
            following = asyncio.create_task(_first(worker.changes()))
            await asyncio.sleep(0.1)  # The server is asked now, and has not answered.
            waiting = asyncio.create_task(worker.wait_for_ring(["default"], LONG))
            await asyncio.sleep(0.1)
            proxy.delay = 0.0
            assert await ring_until(web, waiting) == ()
            assert proxy.connections == 1, "it has heard because it has connected again"
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await worker.close()

    there = PostgresAddress.parse(postgres_url, "engine")
    with Proxy(postgres_server.port) as proxy:
        through = postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        behind = PostgresAddress.parse(f"{through}&application_name={_SLOW}", "engine")
        asyncio.run(scenario())
