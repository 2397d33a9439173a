"""Webhooks, and calls between hosts, by the servers of other stores."""

from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest

from onecopy.deliveries import Delivery
from onecopy.stores import DeliveryFilter
from onecopy.stores.urls import open_store
from onecopy.testing._stores.jobs import run_open
from onecopy.webhooks import verify
from servers.redis import Redis
from tests.running import service, wait_until
from tests.server.test_calls_between_hosts import call_between_hosts
from tests.server.test_webhooks import APP, OPTIONS, environment, post
from tests.webhooks.keys import SECRET
from tests.webhooks.listening import Listener, listening


@pytest.fixture(params=["redis", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of a store that is this test's own."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    server: Redis = request.getfixturevalue("redis_server")
    return f"{server.url}?prefix={uuid4()}"


@pytest.fixture
def busy() -> Generator[Listener]:
    """A receiver that takes nothing yet."""
    with listening(503) as receiver:
        yield receiver


def recorded(url: str) -> Delivery:
    """The one delivery of a store."""
    store = open_store(url)
    (found,) = run_open(store, lambda: store.deliveries.find(DeliveryFilter()))
    return found


def test_a_webhook_is_delivered_though_the_whole_service_was_killed(
    store: str, busy: Listener, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(APP)
    variables = environment(ONECOPY_STORE=store)
    with service(tmp_path, *OPTIONS, environment=variables) as run:
        job = post(run, f"/double?callback_url={busy.url}", number=21)
        wait_until(lambda: len(busy.got) == 1)
        run.wait_for_log(r"try 1: .*; again in")
        run.kill()
    assert recorded(store).status == "pending"
    busy.status = 200
    with service(tmp_path, *OPTIONS, environment=variables):
        wait_until(lambda: recorded(store).status == "delivered")
    first, second = busy.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == recorded(store).id
    data = verify(second.body, second.headers, SECRET)["data"]
    assert (data["id"], data["result"]) == (job["id"], 42)


def test_a_web_tier_calls_the_workers_of_another_host(store: str, tmp_path: Path) -> None:
    call_between_hosts(tmp_path, store)
