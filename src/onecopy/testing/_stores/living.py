"""Opening, closing, event loops and forks."""

import asyncio
import threading
from typing import ClassVar

import pytest

from onecopy.jobs import (
    Job,
)
from onecopy.stores import Filter, Store
from onecopy.testing._stores.jobs import (
    NOW,
    Child,
    claim_one,
    ids_of,
    make_job,
    run_open,
)


class Living:
    def test_closing_twice_before_opening_and_opening_again(self, store: Store) -> None:
        async def whole() -> None:
            await store.close()
            await store.open()
            await store.open()
            await store.accept([make_job()])
            await store.close()
            await store.close()
            await store.open()
            assert len(await store.find(Filter())) == 1
            await store.close()

        asyncio.run(whole())

    def test_addresses_are_announced_for_a_time(self, store: Store) -> None:
        async def scenario() -> None:
            assert await store.announced(now=NOW) == []
            await store.announce("10.0.0.1:7788", until=NOW + 30)
            await store.announce("[fd00::2]:7788", until=NOW + 60)
            assert sorted(await store.announced(now=NOW)) == ["10.0.0.1:7788", "[fd00::2]:7788"]
            assert await store.announced(now=NOW + 31) == ["[fd00::2]:7788"]
            await store.announce("10.0.0.1:7788", until=NOW + 90)
            assert await store.announced(now=NOW + 61) == ["10.0.0.1:7788"]

        run_open(store, scenario)

    def test_several_event_loops_of_one_process(self, store: Store) -> None:
        claimed: list[Job] = []

        async def work() -> None:
            await asyncio.gather(*(store.accept([make_job()]) for _ in range(20)))
            claimed.extend([await claim_one(store) for _ in range(20)])

        async def scenario() -> None:
            threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)

        run_open(store, scenario)
        assert len(set(ids_of(claimed))) == 80

    def test_a_call_that_is_cancelled_disturbs_no_other(self, store: Store) -> None:
        async def scenario() -> None:
            calls = [asyncio.ensure_future(store.accept([make_job()])) for _ in range(40)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            await asyncio.wait(calls)
            accepted = [job.id for call in calls[1::2] for job in call.result()]
            assert len(await store.get(accepted)) == 20

        run_open(store, scenario)

    def test_forked_children_share_the_jobs(self, store: Store) -> None:
        """An open store is forked; parent and children claim all jobs, each of them once."""
        if not self.shared_by_processes:
            pytest.skip("a store of one process")
        jobs = [make_job() for _ in range(120)]

        async def begin() -> None:
            await store.open()
            await store.accept(jobs)

        async def claim_all(worker: str) -> list[str]:
            claimed: list[str] = []
            while some := await store.claim(worker, ["default"], now=NOW, until=NOW + 30, limit=2):
                claimed += ids_of(some)
            return claimed

        asyncio.run(begin())
        children = [Child(lambda n=n: asyncio.run(claim_all(f"child {n}"))) for n in range(3)]
        claimed = asyncio.run(claim_all("parent"))
        for child in children:
            claimed += child.result()
        assert sorted(claimed) == sorted(ids_of(jobs))

        async def end() -> None:
            assert {job.status for job in await store.get(ids_of(jobs))} == {"running"}
            await store.close()

        asyncio.run(end())

    shared_by_processes: ClassVar[bool] = True
