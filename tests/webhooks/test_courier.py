import asyncio
import logging
import os
import signal
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import override

import pytest

from onecopy.deliveries import Change, Delivery, Replay
from onecopy.errors import WebhooksNotInstalled
from onecopy.jobs import Cancel, Job, new_id
from onecopy.stores import DeliveryFilter, Store, Unavailable, change_one
from onecopy.stores.memory import MemoryStore
from onecopy.stores.memory_deliveries import MemoryDeliveries
from onecopy.stores.sqlite import SQLiteStore
from onecopy.webhooks import courier as couriers
from onecopy.webhooks import verify
from onecopy.webhooks.courier import Courier, SenderSource, sender_for
from onecopy.webhooks.sending import Limits, Sender
from tests.running import DEADLINE
from tests.webhooks.keys import SECRET
from tests.webhooks.receivers import Connection, answers, hangs, local, server


@pytest.fixture(autouse=True)
def short_last_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "_LAST_MOMENTS", 0.2)


def sending(limits: Limits | None = None) -> SenderSource:
    async def source() -> Sender:
        return Sender(local(), limits=limits)

    return source


@asynccontextmanager
async def courier(
    store: Store, source: SenderSource | None = None, *, lease: float = couriers.LEASE
) -> AsyncGenerator[Courier]:
    made = Courier(store.deliveries, source or sending(), lease=lease)
    made.start()
    try:
        yield made
    finally:
        await made.stop()


async def ended(store: Store, *urls: str, jobs: int = 1) -> None:
    """Have jobs end whose callbacks these are."""
    now = time.time()
    made = [
        Job(id=new_id(), task="t", arguments="{}", created_at=now, due_at=now, callbacks=urls)
        for _ in range(jobs)
    ]
    await store.accept(made)
    for job in made:
        await change_one(store, job.id, Cancel(), now=now)


async def until(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.005)


async def all_of(store: Store, url: str | None = None) -> list[Delivery]:
    return await store.deliveries.find(DeliveryFilter(url=url, limit=1000))


def tried(store: Store, times: int = 1, url: str | None = None) -> Callable[[], Awaitable[bool]]:
    """Whether each delivery was tried as often."""

    async def condition() -> bool:
        return all(each.tries >= times for each in await all_of(store, url))

    return condition


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


def test_what_is_recorded_is_delivered() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with server() as receiver, courier(store) as carries:
            await ended(store, receiver.url, jobs=40)
            carries.wake()
            await until(tried(store))
            deliveries = await all_of(store)
            assert {each.status for each in deliveries} == {"delivered"}
            assert sorted(each.headers["webhook-id"] for each in receiver.requests) == sorted(
                each.id for each in deliveries
            )
            for got in receiver.requests:
                assert verify(got.body, got.headers, SECRET)["type"] == "job.cancelled"

    run(scenario)


def test_what_nobody_told_of_is_found() -> None:
    """As what another process has recorded, or one that was killed."""

    async def scenario() -> None:
        store = MemoryStore()
        async with server() as receiver:
            await ended(store, receiver.url)
            async with courier(store):
                await ended(store, receiver.url)
                await until(tried(store))

    run(scenario)


def test_a_try_that_fails_is_recorded_and_made_again_on_the_schedule() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with server(answers(500)) as receiver, courier(store) as carries:
            await ended(store, receiver.url)
            carries.wake()
            await until(tried(store))
            (failed,) = await all_of(store)
            assert failed.status == "pending"
            assert 4.5 < (failed.due_at or 0) - time.time() <= 6
            (_, tries) = await store.deliveries.get(failed.id)
            assert [(each.status_code, each.error) for each in tries] == [(500, "answered 500")]

            receiver.behave = answers(200)
            await store.deliveries.change(failed.id, Replay(), now=time.time())
            carries.wake()
            await until(tried(store, 2))
            first, second = receiver.requests
            assert first.body == second.body
            assert first.headers["webhook-id"] == second.headers["webhook-id"] == failed.id
            (delivered, tries) = await store.deliveries.get(failed.id)
            assert (delivered.status, len(tries)) == ("delivered", 2)

    run(scenario)


def test_each_try_has_a_timestamp_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    later = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + later)

    async def scenario() -> None:
        nonlocal later
        store = MemoryStore()
        async with server(answers(500)) as receiver, courier(store) as carries:
            await ended(store, receiver.url)
            for times, pause in enumerate((0.0, 6.1, 360.1, 2160.1), 1):
                later += pause
                carries.wake()
                await until(tried(store, times))
            stamps = [int(each.headers["webhook-timestamp"]) for each in receiver.requests]
            assert len(stamps) == 4
            assert stamps[3] - stamps[0] >= 2500
            for got, at in zip(receiver.requests, stamps, strict=True):
                assert abs(at - stamps[-1]) > 300 or verify(got.body, got.headers, SECRET)

    run(scenario)


def test_retry_after_is_honoured_for_all_that_goes_there() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with (
            server(answers(429, "Retry-After: 120")) as busy,
            server() as other,
            courier(store) as carries,
        ):
            await ended(store, busy.url)
            carries.wake()
            await until(tried(store))
            (delivery,) = await all_of(store)
            assert 119 < (delivery.due_at or 0) - time.time() <= 121

            await ended(store, busy.url, other.url)
            carries.wake()
            await until(tried(store, url=other.url))
            carries.wake()
            await asyncio.sleep(0.1)
            assert len(busy.requests) == 1

    run(scenario)


def test_410_disables() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with server(answers(410)) as receiver, courier(store) as carries:
            await ended(store, receiver.url)
            carries.wake()
            await until(tried(store))
            await ended(store, receiver.url)
            assert {each.status for each in await all_of(store)} == {"disabled"}
            assert len(receiver.requests) == 1

    run(scenario)


def test_receivers_that_hang_delay_nobody_else() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with (
            server(hangs) as first,
            server(hangs) as second,
            server() as good,
            courier(store) as carries,
        ):
            await ended(store, first.url, second.url, jobs=400)
            carries.wake()
            await until(lambda: len(first.requests) > 0 and len(second.requests) > 0)
            await ended(store, good.url, jobs=50)
            began = time.monotonic()
            carries.wake()
            await until(tried(store, url=good.url))
            assert time.monotonic() - began < Limits().total / 2
            assert len(first.requests) <= 2
            assert len(second.requests) <= 2

    run(scenario)


def test_stopping_gives_back_what_hangs() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with server(hangs) as receiver:
            await ended(store, receiver.url, jobs=2)
            async with courier(store):
                await until(lambda: len(receiver.requests) == 2)
            for each in await all_of(store):
                assert (each.tries, each.token) == (0, None)
                assert (each.due_at or 0) <= time.time()
            receiver.behave = answers(200)
            async with courier(store):
                await until(tried(store))

    run(scenario)


def test_stopping_waits_for_what_is_nearly_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "_LAST_MOMENTS", DEADLINE)

    async def scenario() -> None:
        store = MemoryStore()
        may_answer = asyncio.Event()

        async def slow(connection: Connection) -> None:
            await may_answer.wait()
            await answers(200)(connection)

        async with server(slow) as receiver:
            await ended(store, receiver.url)
            async with courier(store):
                await until(lambda: len(receiver.requests) == 1)
                asyncio.get_running_loop().call_later(0.05, may_answer.set)
            (delivery,) = await all_of(store)
            assert delivery.status == "delivered"

    run(scenario)


def test_stopping_twice_and_before_starting() -> None:
    async def scenario() -> None:
        never = Courier(MemoryStore().deliveries, sending())
        await never.stop()
        never.start()
        never.start()
        await never.stop()
        await never.stop()

    run(scenario)


def test_a_store_that_is_away_for_a_moment(caplog: pytest.LogCaptureFixture) -> None:
    away = 0

    class Shaky(MemoryDeliveries):
        @override
        async def change(self, delivery: str, change: Change, *, now: float) -> Delivery:
            nonlocal away
            away += 1
            if away < 3:
                raise Unavailable("gone for a moment")
            return await super().change(delivery, change, now=now)

    async def scenario() -> None:
        store = MemoryStore()
        store.deliveries.__class__ = Shaky
        async with server() as receiver, courier(store) as carries:
            await ended(store, receiver.url)
            carries.wake()
            await until(tried(store))
            assert len(receiver.requests) == 1

    with caplog.at_level(logging.ERROR):
        run(scenario)
    assert "waits for the store: gone for a moment" in caplog.text


def test_what_is_not_installed_is_said_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_be_installed() -> None:
        raise WebhooksNotInstalled("cryptography")

    monkeypatch.setattr(couriers, "must_be_installed", must_be_installed)

    async def scenario() -> None:
        store = MemoryStore()
        await ended(store, "https://hooks.example/")
        async with courier(store, sender_for(local())):
            await until(lambda: "onecopy[webhooks]" in caplog.text)
        (delivery,) = await all_of(store)
        assert (delivery.status, delivery.tries, delivery.token) == ("pending", 0, None)

    with caplog.at_level(logging.ERROR):
        run(scenario)


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        async with server(answers(500)) as receiver, courier(store) as carries:
            await ended(store, receiver.url + "&token=hunter2")
            carries.wake()
            await until(tried(store))
            await until(lambda: "answered 500" in caplog.text)

    with caplog.at_level(logging.DEBUG):
        run(scenario)
    assert "hunter2" not in caplog.text
    assert SECRET not in caplog.text
    assert "127.0.0.1" in caplog.text


def test_the_delivery_of_a_courier_that_was_killed_is_made_by_another(tmp_path: Path) -> None:
    """Killed between taking it and recording what came of it: the receiver gets it twice."""

    def store() -> SQLiteStore:
        return SQLiteStore(tmp_path / "jobs.sqlite3")

    async def carry(ready: Callable[[], None] = lambda: None) -> None:
        mine = store()
        await mine.open()
        async with courier(mine, lease=1.0):
            ready()
            await until(tried(mine))
        await mine.close()

    async def scenario() -> None:
        mine = store()
        await mine.open()
        async with server(hangs) as receiver:
            await ended(mine, receiver.url)
            child = await asyncio.to_thread(forked, carry)
            await until(lambda: len(receiver.requests) == 1)
            os.kill(child, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, child, 0)
            (taken,) = await all_of(mine)
            assert taken.token is not None
            assert taken.tries == 0

            receiver.behave = answers(200)
            await carry()
            first, second = receiver.requests
            assert first.headers["webhook-id"] == second.headers["webhook-id"]
            (delivered, tries) = await mine.deliveries.get(taken.id)
            assert delivered.status == "delivered"
            assert [each.status_code for each in tries] == [200]
        await mine.close()

    run(scenario)


def forked(work: Callable[[], Awaitable[None]]) -> int:
    """Run something in a child of this process, and return its pid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the threads that are not forked
        pid = os.fork()
    if pid:
        return pid
    try:
        run(work)
    finally:
        os._exit(0)
