"""Events over WebSockets, from a real server, with the `websockets` client."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus

from onecopy.execution.runtime import Runtime
from onecopy.http import streams
from onecopy.http.streams import Streams
from onecopy.http.wishes import Allowance
from onecopy.jobs import Advance, Cancel, Line, Log, Progress, Succeed, new_id
from onecopy.testing import EventsContract
from onecopy.testing.events import Life, Told, Transport
from tests.http.event_source import Served, served
from tests.http.test_events import Away, until


class Socket:
    """A client of one socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def say(self, **message: Any) -> None:  # noqa: ANN401  whatever is tried
        await self._connection.send(json.dumps(message))

    async def send(self, message: str | bytes) -> None:
        await self._connection.send(message)

    async def hear(self) -> dict[str, Any]:
        return json.loads(await self._connection.recv())

    async def kinds(self, count: int) -> list[str]:
        return [(await self.hear())["kind"] for _ in range(count)]

    async def error(self) -> tuple[str, str | None]:
        """Return the type and the job of the next message, which is an error."""
        error = (await self.hear())["error"]
        assert error["title"]
        assert error["detail"]
        return error["type"].removeprefix("urn:onecopy:problem:"), error.get("job")

    async def end(self) -> tuple[int, str]:
        """Return code and reason of the close that is next."""
        with pytest.raises(ConnectionClosed) as closed:
            await self._connection.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason


@asynccontextmanager
async def opened(
    service: Served,
    path: str = "/jobs/ws",
    **how: Any,  # noqa: ANN401  of `connect`
) -> AsyncGenerator[Socket]:
    url = f"{service.url.replace('http', 'ws')}{path}"
    async with connect(url, proxy=None, max_size=None, **how) as connection:
        yield Socket(connection)


class BySocket:
    """Follows by one socket: of the job, or of any."""

    def __init__(self, service: Served, *, of_one: bool) -> None:
        self.runtime: Runtime = service.runtime
        self._service = service
        self._of_one = of_one

    async def follow(self, after: Mapping[str, int]) -> AsyncGenerator[Told]:
        if self._of_one and len(after) == 1:
            [(job, number)] = after.items()
            path, wish = f"/jobs/{job}/ws?after={number}", None
        else:
            path, wish = "/jobs/ws", {"subscribe": [*after], "after": dict(after)}
        async with opened(self._service, path) as socket:
            if wish is not None:
                await socket.say(**wish)
            with suppress(ConnectionClosedOK):
                async for told in self._until_over(socket, after):
                    yield told

    async def _until_over(self, socket: Socket, after: Mapping[str, int]) -> AsyncGenerator[Told]:
        """Yield what is told; a socket that goes on says not when a job is over: that is asked."""
        told = dict(after)
        while True:
            if not (self._of_one and len(after) == 1) and await self._all_told(told):
                return
            try:
                async with asyncio.timeout(0.2):
                    message = await socket.hear()
            except TimeoutError:
                continue
            if "kind" not in message:
                raise KeyError(message["error"]["job"])
            told[message["job"]] = message["number"]
            yield message

    async def _all_told(self, told: Mapping[str, int]) -> bool:
        jobs = await self.runtime.store.get([*told])
        return len(jobs) == len(told) and all(
            job.final and told[job.id] >= job.version for job in jobs
        )


@pytest.mark.parametrize("of_one", [True, False], ids=["of one job", "of any"])
class TestWebSockets(EventsContract):
    @pytest.fixture
    def connect(
        self, tmp_path: Path, of_one: bool
    ) -> Callable[[], AbstractAsyncContextManager[Transport]]:
        @asynccontextmanager
        async def connect() -> AsyncGenerator[Transport]:
            async with served(tmp_path) as service:
                yield BySocket(service, of_one=of_one)

        return connect


def run(
    folder: Path,
    scenario: Callable[[Served, Life], Coroutine[Any, Any, None]],
    **how: Any,  # noqa: ANN401  of `served`
) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30), served(folder, **how) as service:
            await scenario(service, Life(service.runtime))

    asyncio.run(whole())


def test_jobs_are_subscribed_to_unsubscribed_from_and_cancelled(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        first, second = await life.job(), await life.job()
        async with opened(service) as socket:
            await socket.say(subscribe=[first, second])
            assert await socket.kinds(2) == ["accepted", "accepted"]
            await socket.say(unsubscribe=[first, "whatever"])
            await socket.say(cancel=first)
            await socket.say(cancel=second)
            told = await socket.hear()
            assert (told["job"], told["kind"]) == (second, "cancelled")
            [job] = await life.runtime.store.get([first])
            assert job.status == "cancelled"
            await socket.say(subscribe=[first], after=0)
            assert await socket.kinds(1) == ["cancelled"]
            await socket.say(subscribe=[first, second], after={first: 0})
            assert await socket.kinds(3) == ["cancelled", "accepted", "cancelled"]

    run(tmp_path, scenario)


def test_a_socket_of_one_job_ends_with_it_and_says_so(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        async with opened(service, f"/jobs/{job}/ws") as socket:
            assert await socket.kinds(1) == ["accepted"]
            await socket.say(cancel=job)
            assert await socket.kinds(1) == ["cancelled"]
            assert await socket.end() == (1000, "the job has ended")
        async with opened(service, f"/jobs/{job}/ws?after=1") as socket:
            assert await socket.end() == (1000, "the job has ended")

    run(tmp_path, scenario)


def test_what_is_refused_is_said_and_the_socket_stays(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job, unknown = await life.job(), new_id()
        async with opened(service) as socket:
            for text in (
                "",
                "[]",
                "nonsense",
                '"subscribe"',
                "{}",
                '{"subscribe": "x"}',
                '{"subscribe": [1]}',
                '{"subscribe": [], "cancel": "x"}',
                '{"subscribe": [], "after": 1.5}',
                '{"subscribe": [], "after": {"x": null}}',
                '{"subscribes": []}',
                '{"cancel": null}',
                "9" * 5000,
                "[" * 5000,
                '{"cancel": "\\ud800"}',
            ):
                await socket.send(text)
                assert await socket.error() == ("message-invalid", None), text
            await socket.say(subscribe=[unknown, "a/b", job])
            assert await socket.error() == ("job-unknown", "a/b")
            heard = [await socket.hear(), await socket.hear()]
            assert {each["kind"] if "kind" in each else each["error"]["job"] for each in heard} == {
                unknown,
                "accepted",
            }
            await socket.say(cancel=unknown)
            assert await socket.error() == ("job-unknown", unknown)
            await socket.say(cancel="../..")
            assert await socket.error() == ("job-unknown", "../..")
            await life.change(job, Cancel())
            assert await socket.kinds(1) == ["cancelled"]

    run(tmp_path, scenario)


def test_a_socket_of_an_unknown_job_is_closed(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        for job in (new_id(), "a b"):
            async with opened(service, f"/jobs/{job.replace(' ', '%20')}/ws") as socket:
                assert await socket.error() == ("job-unknown", job)
                assert await socket.end() == (1008, "there is no such job")
        async with opened(service, f"/jobs/{await life.job()}/ws?after=x") as socket:
            assert await socket.end() == (1008, "`after` is no number of an event")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"\0\1", 1003), ("x" * (64 * 1024 + 1), 1009), ("x" * 1_000_000, 1009)],
    ids=["bytes", "too large", "a megabyte"],
)
def test_what_a_client_must_not_send(tmp_path: Path, message: str | bytes, code: int) -> None:
    async def scenario(service: Served, life: Life) -> None:
        async with opened(service) as socket:
            await socket.say(subscribe=[await life.job()])
            assert await socket.kinds(1) == ["accepted"]
            await socket.send(message)
            found, reason = await socket.end()
            assert found == code
            assert "message" in reason
        await until(lambda: len(Streams.here()) == 0)

    run(tmp_path, scenario)


def test_a_flood_of_messages_is_the_end(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        async with opened(service) as flood, opened(service) as other:
            for _ in range(1000):
                await flood.say(subscribe=[job], after=0)
            code, reason = await flood.end()
            assert (code, reason) == (1008, "a client sends at most 20 messages a second")
            await other.say(subscribe=[job])
            assert await other.kinds(1) == ["accepted"]

    run(tmp_path, scenario)


def test_a_socket_follows_a_thousand_jobs_and_no_more(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        jobs = [new_id() for _ in range(1000)]
        async with opened(service) as socket:
            await socket.say(subscribe=jobs)
            for _ in jobs:
                assert (await socket.error())[0] == "job-unknown"
            await socket.say(subscribe=[*jobs, new_id()])
            assert await socket.end() == (1008, "a socket follows at most 1000 jobs")

    run(tmp_path, scenario)


def test_an_allowance_comes_back_with_time() -> None:
    allowance = Allowance(2, 10.0, now=0)
    assert [allowance.take(0) for _ in range(3)] == [True, True, False]
    assert not allowance.take(0.05)
    assert [allowance.take(5) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:{port}", True),
        ("https://127.0.0.1:{port}", True),
        ("https://app.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com.evil.example", False),
        ("http://127.0.0.1", False),
        ("http://127.0.0.1:{port}.evil.example", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_other_origins_may_not_connect(
    tmp_path: Path, origin: str | None, allowed: bool
) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        sent = None if origin is None else origin.format(port=service.port)
        headers = {} if sent is None else {"Origin": sent}
        async with opened(service, f"/jobs/{job}/ws", additional_headers=headers) as socket:
            if allowed:
                assert await socket.kinds(1) == ["accepted"]
            else:
                assert await socket.end() == (1008, "pages of this origin may not connect")

    run(tmp_path, scenario, origins=["https://app.example.com"])


def test_the_apps_checks_are_in_front(tmp_path: Path) -> None:
    def check(connection: HTTPConnection) -> None:
        if "cookie" not in connection.headers:
            raise HTTPException(401, "who is it?")

    async def scenario(service: Served, life: Life) -> None:
        path = f"/jobs/{await life.job()}/ws"
        with pytest.raises(InvalidStatus) as refused:
            async with opened(service, path):
                pass
        assert refused.value.response.status_code in (401, 403)
        async with opened(service, path, additional_headers={"Cookie": "a=b"}) as socket:
            assert await socket.kinds(1) == ["accepted"]

    run(tmp_path, scenario, dependencies=[Depends(check)])


def test_a_client_that_does_not_read_is_dropped_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST_STUCK", 0.5)

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        token = await life.begin(job)
        async with opened(service, f"/jobs/{job}/ws", max_queue=1, close_timeout=0.1) as socket:
            assert await socket.kinds(2) == ["accepted", "claimed"]
            line = Line(0.0, "INFO", "app", "x" * 100_000)
            for _ in range(200):  # More than the sockets' buffers take.
                await life.change(job, Log(token, [line]))
            await until(lambda: len(Streams.here()) == 0)
        async with opened(service, f"/jobs/{job}/ws?after=100") as socket:
            for number in range(101, 202):
                assert (await socket.hear())["number"] == number

    run(tmp_path, scenario, options={"ws_per_message_deflate": False})


def test_nothing_is_left_of_a_client_that_has_gone(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        before = asyncio.all_tasks()
        async with opened(service, f"/jobs/{job}/ws") as socket:
            await socket.kinds(1)
            assert len(Streams.here()) == 1
        await until(lambda: len(Streams.here()) == 0)
        await until(lambda: not service.server.server_state.tasks)
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert left <= {"onecopy: events", "onecopy: changes", "onecopy: streams"}

    run(tmp_path, scenario)


def test_dead_clients_are_found_by_pings(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        # One that answers no pings: it never reads.
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            f"GET /jobs/{job}/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await until(lambda: len(Streams.here()) == 1)
        await until(lambda: len(Streams.here()) == 0)
        writer.close()

    run(tmp_path, scenario, options={"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2})


def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    store = Away()

    async def scenario(service: Served, life: Life) -> None:
        job = await life.job()
        token = await life.begin(job)
        store.away = True
        async with opened(service, f"/jobs/{job}/ws?after=1") as socket:
            await life.change(job, Advance(token, Progress(1)), Succeed(token, "1"))
            hearing = asyncio.create_task(socket.kinds(2))
            await asyncio.sleep(0.5)
            assert not hearing.done()
            store.away = False
            assert await hearing == ["progress", "succeeded"]

    run(tmp_path, scenario, store=store)


def test_a_store_that_is_closed_is_said(tmp_path: Path) -> None:
    async def scenario(service: Served, life: Life) -> None:
        async with opened(service, f"/jobs/{await life.job()}/ws") as socket:
            await socket.kinds(1)
            await service.runtime.close()
            assert await socket.end() == (1013, "the store cannot be reached")

    run(tmp_path, scenario)
