"""The client against a real service, with a proxy in between that fails."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import httpx
import pytest

from onecopy.client import Client
from onecopy.errors import (
    JobCancelled,
    JobFailed,
    JobNotFound,
    RequestRefused,
    ResultTimeout,
    ServiceUnreachable,
)
from onecopy.jobs import Event
from tests.client.app import SERVICE
from tests.proxy import Proxy
from tests.running import Service, service

HEADERS = {"X-Key": "open"}

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "work.py").write_text(SERVICE)
    options = ["work:app", "--workers", "2", "--job-workers", "1", "--no-access-log"]
    with service(folder, *options) as run:
        yield run


@pytest.fixture
def proxy(running: Service) -> Generator[Proxy]:
    with Proxy(running.port) as between:
        yield between


@pytest.fixture
def url(running: Service) -> str:
    return f"http://127.0.0.1:{running.port}"


@asynccontextmanager
async def through(proxy: Proxy, patience: float = 20) -> AsyncGenerator[Client]:
    async with Client(
        f"http://127.0.0.1:{proxy.port}", headers=HEADERS, patience=patience
    ) as client:
        yield client


async def test_submit_follow_and_result(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        job = await client.submit("/double", {"numbers": [1, 2, 3]})
        assert await job.result(timeout=20) == [2, 4, 6]
        info = await job.info()
        assert (info["status"], info["id"], info.get("result")) == ("succeeded", job.id, [2, 4, 6])
        assert await client.job(job.id).status() == "succeeded"
        assert await client.job(job.url).result() == [2, 4, 6]
        assert await client.job(info["links"]["self"]).result() == [2, 4, 6]


def test_without_an_event_loop(url: str) -> None:
    with Client(url, headers=HEADERS) as client:
        job = client.submit_sync("/double", {"numbers": [4]})
        assert job.result_sync(20) == [8]
        assert (job.status_sync(), job.info_sync()["status"]) == ("succeeded", "succeeded")
        assert [event.kind for event in job.events_sync()][-1] == "succeeded"
        assert job.cancel_sync() == "succeeded"


async def test_arguments_are_of_anything_that_pydantic_writes(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        job = await client.submit("/double", {"numbers": (1, 2)})
        assert await job.result(20) == [2, 4]


async def test_failed_and_cancelled_jobs(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        failing = await client.submit("/hopeless", {"why": "no such place"})
        with pytest.raises(JobFailed, match="no such place") as failed:
            await failing.result(20)
        assert (failed.value.job, failed.value.type) == (failing.id, "Failed")
        slow = await client.submit("/steps", {"count": 1000, "seconds": 0.01})
        with pytest.raises(ResultTimeout):
            await slow.result(0.2)
        assert await slow.cancel() in ("running", "cancelled")
        with pytest.raises(JobCancelled):
            await slow.result(20)


async def test_what_the_service_refuses(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        with pytest.raises(RequestRefused, match="#/numbers/1") as refused:
            await client.submit("/double", {"numbers": [1, "x"]})
        assert (refused.value.status, refused.value.errors[0]["pointer"]) == (422, "#/numbers/1")
        with pytest.raises(RequestRefused, match="404"):
            await client.submit("/nowhere")
        with pytest.raises(JobNotFound):
            await client.job("unknown").info()
        with pytest.raises(JobNotFound):
            await client.job("unknown").result(1)
        with pytest.raises(JobNotFound):
            await anext(client.job("unknown").events())
    async with Client(url) as stranger:
        with pytest.raises(RequestRefused, match="401"):
            await stranger.submit("/double", {"numbers": []})


async def test_a_request_that_is_sent_again_makes_no_second_job(proxy: Proxy) -> None:
    async with through(proxy) as client:
        proxy.drop_answers = 2
        job = await client.submit("/double", {"numbers": [1]})
        assert proxy.connections == 3
        assert await job.result(20) == [2]
        assert [event.number async for event in job.events()] == [0, 1, 2]


async def test_a_key_of_ones_own(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        first = await client.submit("/double", {"numbers": [7]}, idempotency_key="order-17")
        again = await client.submit("/double", {"numbers": [7]}, idempotency_key="order-17")
        assert first.id == again.id
        with pytest.raises(RequestRefused, match="422"):
            await client.submit("/double", {"numbers": [8]}, idempotency_key="order-17")


async def test_a_service_that_comes_back(proxy: Proxy) -> None:
    async with through(proxy) as client:
        proxy.go_away()
        threading.Timer(0.7, proxy.come_back).start()
        job = await client.submit("/double", {"numbers": [1]})
        assert await job.result(20) == [2]


async def test_patience_has_an_end(proxy: Proxy) -> None:
    async with through(proxy, patience=0.3) as client:
        job = await client.submit("/double", {"numbers": [1]})
        proxy.go_away()
        for work in (client.submit("/double"), job.info(), anext(job.events())):
            began = time.monotonic()
            with pytest.raises(ServiceUnreachable, match=job.url.rpartition("/jobs")[0]):
                await work
            assert 0.3 <= time.monotonic() - began < 5


async def test_events_go_on_after_each_break(proxy: Proxy) -> None:
    async with through(proxy) as client:
        job = await client.submit("/steps", {"count": 40, "seconds": 0.05})
        events: list[Event] = []
        async for event in job.events():
            events.append(event)
            if event.kind == "progress" and event.number % 4 == 0:
                proxy.cut()
        numbers = [event.number for event in events]
        assert numbers == [*range(len(numbers))]
        kinds = [event.kind for event in events]
        assert (kinds[0], kinds[-1]) == ("accepted", "succeeded")
        assert kinds.count("progress") > 4
        assert events[-1].data["result"] == 40
        # One that sent the job, one that was cut, one that went on.
        assert proxy.connections >= 3
        assert [event.number async for event in job.events(after=2)] == numbers[3:]
        assert [event async for event in job.events(after=numbers[-1])] == []


async def test_an_iteration_that_is_given_up(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        job = await client.submit("/steps", {"count": 100, "seconds": 0.02})
        async for event in job.events():
            if event.kind == "progress":
                break
        await job.cancel()


async def test_one_that_asks_for_patience() -> None:
    """What a service says with Retry-After counts, and its answer in the end too."""
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(time.monotonic())
        if len(asked) < 3:
            return httpx.Response(503, headers={"Retry-After": "1"})
        return httpx.Response(202, headers={"Location": "https://elsewhere/api/jobs/1"})

    transport = httpx.MockTransport(answer)
    async with Client("https://here/api", transport=transport, patience=10) as client:
        job = await client.submit("/double")
    assert asked[2] - asked[0] >= 2
    assert job.url == "https://here/api/jobs/1"


async def test_many_jobs_at_once(url: str) -> None:
    async with Client(url, headers=HEADERS) as client:
        jobs = await asyncio.gather(
            *(client.submit("/double", {"numbers": [n]}) for n in range(30))
        )
        results = await asyncio.gather(*(job.result(30) for job in jobs))
    assert results == [[2 * n] for n in range(30)]
