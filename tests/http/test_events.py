"""Events over Server-Sent Events, from a real server."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, override

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware

from onecopy.http import sse, streams
from onecopy.http.streams import Streams
from onecopy.jobs import Advance, Cancel, Event, Line, Log, Progress, Succeed, new_id
from onecopy.stores import Unavailable
from onecopy.stores.memory import MemoryStore
from onecopy.testing import EventsContract
from onecopy.testing.events import Life, Transport
from tests.http.event_source import EventSource, Served, asked, frames, served
from tests.running import wait_until


class TestServerSentEvents(EventsContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Transport]]:
        @asynccontextmanager
        async def connect() -> AsyncGenerator[Transport]:
            async with served(tmp_path) as service:
                yield EventSource(service.runtime, service.url)

        return connect


class Away(MemoryStore):
    """May be away."""

    away = False

    @override
    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        if self.away:
            raise Unavailable("away")
        return await super().events(after, limit=limit)


def run(
    folder: Path,
    scenario: Callable[[Served, Life], Coroutine[Any, Any, None]],
    **how: Any,  # noqa: ANN401  of `served`
) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30), served(folder, **how) as service:
            await scenario(service, Life(service.runtime))

    asyncio.run(whole())


async def get(
    service: Served, path: str, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Return a whole answer."""
    async with asked(service.url + path, headers) as answer:
        await answer.aread()
        return answer


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    while not holds():  # noqa: ASYNC110  of what nobody tells
        await asyncio.sleep(0.005)


async def ended(life: Life) -> str:
    """Return a job with four events, the last of which has ended it."""
    job = await life.job()
    token = await life.begin(job)
    await life.change(job, Advance(token, Progress(1, 2)), Succeed(token, "[1]"))
    return job


def test_the_answer_is_a_stream_that_no_proxy_keeps_back(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        answer = await get(service, f"/jobs/{await ended(life)}/events")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["connection"] == "close"
        first, second, *_ = answer.text.split("\n\n")
        assert first == "retry: 1000"
        assert second.startswith('id: 0\ndata: {"job":')
        assert answer.text.endswith("}\n\n")

    run(tmp_path, scenario)


def test_who_was_told_of_the_end_is_told_to_come_no_more(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job, other = await ended(life), await ended(life)
        for path in (f"/jobs/{job}/events?after=3", f"/jobs/events?ids={job},{other}&after=3.3"):
            answer = await get(service, path)
            assert answer.status_code == 204
            assert answer.content == b""

    run(tmp_path, scenario)


def test_the_header_counts_before_the_query(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        path = f"/jobs/{await ended(life)}/events"
        assert "id: 2\n" not in (await get(service, f"{path}?after=2")).text
        answer = await get(service, f"{path}?after=2", {"Last-Event-ID": "0"})
        assert [line for line in answer.text.split("\n") if line.startswith("id")] == [
            "id: 1",
            "id: 2",
            "id: 3",
        ]
        assert "id: 0\n" in (await get(service, path, {"Last-Event-ID": ""})).text
        assert "id: 0\n" in (await get(service, path, {"Last-Event-ID": "-"})).text

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "last", ["x", "-2", "1.", "1.2", "1e3", " 1", "1" * 19, "٣", "1\0", "0x1", "1.-"]
)
def test_a_last_event_id_of_another_stream_is_a_problem(tmp_path: Path, last: str) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await ended(life)
        answer = await get(service, str(httpx.URL(f"/jobs/{job}/events", params={"after": last})))
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:onecopy:problem:event-id-invalid"

    run(tmp_path, scenario)


def test_the_ids_of_several_jobs_have_to_be_some_each_once(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await ended(life)
        for ids in ("", ",", f"{job},{job}", ",".join(new_id() for _ in range(101))):
            answer = await get(service, f"/jobs/events?ids={ids}")
            assert answer.json()["type"] == "urn:onecopy:problem:ids-invalid"
        assert (await get(service, "/jobs/events")).status_code == 400
        answer = await get(service, f"/jobs/events?ids={job},{new_id()}&after=1")
        assert answer.json()["type"] == "urn:onecopy:problem:event-id-invalid"
        answer = await get(service, f"/jobs/events?ids={job}")
        assert answer.text.count("\ndata: ") == 4

    run(tmp_path, scenario)


def test_unknown_ids_are_not_found(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job, unknown = await ended(life), new_id()
        for path in (
            f"/jobs/{unknown}/events",
            f"/jobs/{unknown}/events?after=7",
            "/jobs/%2e%2e/events",
            f"/jobs/events?ids={job},{unknown}",
            f"/jobs/events?ids={job},a%20b",
        ):
            answer = await get(service, path)
            assert answer.status_code == 404, path
            assert answer.json()["type"] == "urn:onecopy:problem:job-unknown"

    run(tmp_path, scenario)


def test_a_job_that_was_deleted_meanwhile_hinders_no_other(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        gone, job = await ended(life), await ended(life)
        await life.runtime.store.forget([gone])
        answer = await get(service, f"/jobs/events?ids={gone},{job}&after=3.2")
        assert answer.text.count("\ndata: ") == 1
        assert "id: 3.3\n" in answer.text

    run(tmp_path, scenario)


def test_silence_is_broken_by_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BEAT", 0.1)

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        async with asked(f"{service.url}/jobs/{job}/events?after=0") as answer:
            arriving = frames(answer)
            assert (await anext(arriving)).retry == 1000
            assert (await anext(arriving)).comment
            assert (await anext(arriving)).comment
            await arriving.aclose()

    run(tmp_path, scenario)


def test_nothing_is_left_of_a_client_that_has_gone(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        before = asyncio.all_tasks()
        async with asked(f"{service.url}/jobs/{job}/events?after=0") as answer:
            await anext(frames(answer))
            assert len(Streams.here()) == 1
        await until(lambda: len(Streams.here()) == 0)
        await until(lambda: not service.server.server_state.tasks)
        await life.change(job, Cancel())
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert left <= {"onecopy: events", "onecopy: changes", "onecopy: streams"}

    run(tmp_path, scenario)


def test_an_open_stream_costs_one_task(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        readers = [
            await asyncio.open_connection("127.0.0.1", service.port, limit=10**6) for _ in range(51)
        ]
        counts: list[int] = []
        for reader, writer in readers:
            writer.write(f"GET /jobs/{job}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await reader.readuntil(b'"accepted"')
            counts.append(len(asyncio.all_tasks()))
        assert counts[-1] - counts[0] == 50
        await life.change(job, Cancel())
        for reader, writer in readers:
            assert b'"cancelled"' in await reader.read()
            writer.close()

    run(tmp_path, scenario)


def test_a_client_that_does_not_read_is_dropped_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "LONGEST_STUCK", 0.5)
    caplog.set_level(logging.INFO, "onecopy.http")

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        token = await life.begin(job)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1000)
        writer.write(f"GET /jobs/{job}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await reader.readuntil(b'"claimed"')
        line = Line(time.time(), "INFO", "app", "x" * 100_000)
        for _ in range(150):  # More than the sockets' buffers take.
            await life.change(job, Log(token, [line]))
        await until(lambda: len(Streams.here()) == 0)
        got = b""
        while chunk := await reader.read(1_000_000):
            got += chunk
        writer.close()
        assert b'"succeeded"' not in got
        await life.change(job, Succeed(token, "1"))
        last = int(re.findall(rb"id: (\d+)\ndata: ", got)[-1]) - 1
        source = EventSource(service.runtime, service.url)
        rest = [event["number"] async for event in source.follow({job: last})]
        assert rest == [*range(last + 1, 153)]

    run(tmp_path, scenario)
    assert "a client that does not read its events is dropped" in caplog.text


def test_the_apps_checks_are_in_front_and_over_before_the_stream(tmp_path: Path) -> None:
    open_now: list[str] = []

    def check(request: Request) -> Generator[None]:
        if "cookie" not in request.headers:
            raise HTTPException(401, "who is it?")
        open_now.append(request.url.path)
        yield
        open_now.pop()

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        assert (await get(service, f"/jobs/{job}/events")).status_code == 401
        async with asked(f"{service.url}/jobs/{job}/events", {"Cookie": "a=b"}) as answer:
            await anext(frames(answer))
            # Its end runs in a thread.
            await asyncio.to_thread(wait_until, lambda: not open_now)

    run(tmp_path, scenario, dependencies=[Depends(check)])


def test_a_check_that_fails_at_its_end_leaves_nothing_open(tmp_path: Path) -> None:
    def check() -> Generator[None]:
        yield
        raise RuntimeError("at the end")

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        with pytest.raises(httpx.RemoteProtocolError):
            await get(service, f"/jobs/{job}/events")
        assert len(Streams.here()) == 0

    run(tmp_path, scenario, dependencies=[Depends(check)])


def test_middleware_of_the_app_is_no_obstacle(tmp_path: Path) -> None:
    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Any:  # noqa: ANN401
        response = await call_next(request)
        response.headers["X-Seen"] = "yes"
        return response

    def prepare(app: FastAPI) -> None:
        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
        app.add_middleware(GZipMiddleware)

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        async with asked(f"{service.url}/jobs/{job}/events") as answer:
            assert answer.headers["x-seen"] == "yes"
            arriving = frames(answer)
            assert (await anext(arriving)).retry == 1000
            assert (await anext(arriving)).data["kind"] == "accepted"
            await life.change(job, Cancel())
            assert (await anext(arriving)).data["kind"] == "cancelled"
            assert [frame async for frame in arriving] == []
        await until(lambda: len(Streams.here()) == 0)

    run(tmp_path, scenario, prepare=prepare)


def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Away()

    async def scenario(service: Served, life: Life) -> None:
        job = await ended(life)
        store.away = True
        asking = asyncio.create_task(get(service, f"/jobs/{job}/events"))
        await asyncio.sleep(0.3)
        assert not asking.done()
        store.away = False
        assert (await asking).text.count("\ndata: ") == 4
        store.away = True
        monkeypatch.setattr(sse, "_PATIENCE", 0.1)
        answer = await get(service, f"/jobs/{job}/events")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        answer = await get(service, f"/jobs/{job}/events", {"Last-Event-ID": "1"})
        assert answer.status_code == 200, "an EventSource comes again"
        assert answer.text == "retry: 1000\n\n"

    run(tmp_path, scenario, store=store)
