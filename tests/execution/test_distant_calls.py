"""Calls between hosts: two state folders are two hosts, a gateway stands before one of them."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec import Raw, json

from onecopy.errors import Busy, JobFailed, NoWorker, OptionError, ResultTimeout
from onecopy.execution.calls import Answer, Caller, Question
from onecopy.execution.distant_calls import DistantHosts, Secret, place_here, secret_here
from onecopy.jobs import Failure
from onecopy.server.call_gateway import Ask, CallGateway
from onecopy.stores.memory import MemoryStore
from tests.execution.test_calls import CALL, Worker, run, until

SECRET = Secret("0123456789abcdef0123456789abcdef")
OTHER = Secret("fedcba9876543210fedcba9876543210")


class Hosts:
    """A host, whose workers' folder is empty, and another one that is known by the store."""

    def __init__(self, folder: Path) -> None:
        self.here = folder / "here"
        self.there = folder / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.store = MemoryStore()

    def caller(self, secret: Secret = SECRET) -> Caller:
        return Caller(str(self.here), DistantHosts(self.store, secret))

    @contextlib.asynccontextmanager
    async def gateway(self, ask: Ask | None = None) -> AsyncGenerator[tuple[str, int]]:
        listener = socket.create_server(("127.0.0.1", 0))
        place: tuple[str, int] = listener.getsockname()
        gateway = CallGateway(listener.fileno(), SECRET, ask or Caller(str(self.there)).answer_here)
        with listener:
            await gateway.start()
            await self.announce(place)
            yield place
            await gateway.stop()

    async def announce(self, place: tuple[str, int]) -> None:
        await self.store.announce(f"{place[0]}:{place[1]}", until=time.time() + 30)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_call_goes_where_a_worker_is(hosts: Hosts) -> None:
    async def scenario() -> None:
        async with Worker().serving(hosts.there) as worker, hosts.gateway():
            assert await hosts.caller().call(CALL) == '"done"'
            assert worker.ran == ['{"text":"caf\u00e9"}']
            worker.answer = Answer(failure=Failure("ValueError", "no"))
            with pytest.raises(JobFailed, match="ValueError: no"):
                await hosts.caller().call(CALL)

    run(scenario())


def test_workers_of_this_host_come_first(hosts: Hosts) -> None:
    async def scenario() -> None:
        here, there = Worker(), Worker()
        async with here.serving(hosts.here), there.serving(hosts.there), hosts.gateway():
            await hosts.caller().call(CALL)
            assert (len(here.ran), len(there.ran)) == (1, 0)

    run(scenario())


def test_much_goes_both_ways(hosts: Hosts) -> None:
    text = '"' + "x" * 5_000_000 + '"'

    async def scenario() -> None:
        async with Worker().serving(hosts.there) as worker, hosts.gateway():
            worker.answer = Answer(Raw(text.encode()))
            assert await hosts.caller().call(CALL) == text

    run(scenario())


def test_nobody_is_there_or_knows_the_task(hosts: Hosts) -> None:
    async def scenario() -> None:
        with pytest.raises(NoWorker):
            await hosts.caller().call(CALL)
        with socket.create_server(("127.0.0.1", 0)) as gone:
            place = gone.getsockname()
        await hosts.announce(place)
        async with Worker(known="something else").serving(hosts.there), hosts.gateway():
            with pytest.raises(NoWorker):
                await hosts.caller().call(CALL)

    run(scenario())


def test_a_host_that_starts_when_there_was_none_is_found_soon(hosts: Hosts) -> None:
    async def scenario() -> None:
        caller = hosts.caller()
        with pytest.raises(NoWorker):
            await caller.call(CALL)
        async with Worker().serving(hosts.there), hosts.gateway(), asyncio.timeout(2.5):
            while True:
                with contextlib.suppress(NoWorker):
                    assert await caller.call(CALL) == '"done"'
                    return
                await asyncio.sleep(0.05)

    run(scenario())


def test_a_host_that_is_busy_says_so(hosts: Hosts) -> None:
    async def busy(question: bytes) -> bytes:
        return json.encode(Answer(busy=True))

    async def scenario() -> None:
        async with hosts.gateway(busy):
            with pytest.raises(Busy):
                await hosts.caller().call(CALL)

    run(scenario())


def test_another_secret_is_refused_on_both_ends(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with Worker().serving(hosts.there) as worker, hosts.gateway():
            with pytest.raises(NoWorker):
                await hosts.caller(OTHER).call(CALL)
            assert worker.ran == []

    run(scenario())
    assert "is refused: the signature is wrong" in caplog.text
    assert "takes no call of this host" in caplog.text


def test_a_host_that_is_lost_with_the_question_fails_the_call(hosts: Hosts) -> None:
    async def lose(question: bytes) -> bytes:
        raise ConnectionResetError

    async def scenario() -> None:
        async with hosts.gateway(lose):
            with pytest.raises(JobFailed, match="WorkerLost"):
                await hosts.caller().call(CALL)

    run(scenario())


def test_a_caller_that_goes_takes_its_call_along(hosts: Hosts) -> None:
    async def scenario() -> None:
        async with Worker().serving(hosts.there) as worker, hosts.gateway():
            worker.go.clear()
            call = asyncio.ensure_future(hosts.caller().call(CALL))
            await until(lambda: worker.running)
            call.cancel()
            await until(lambda: worker.cancelled)

    run(scenario())


def test_the_time_of_a_call_ends_on_both_hosts(hosts: Hosts) -> None:
    async def scenario() -> None:
        async with Worker().serving(hosts.there) as worker, hosts.gateway():
            worker.go.clear()
            short = type(CALL)(CALL.task, CALL.queue, CALL.arguments, 0.2)
            with pytest.raises(ResultTimeout):
                await hosts.caller().call(short)
            await until(lambda: worker.cancelled)

    run(scenario())


def test_what_was_said_once_cannot_be_said_again(hosts: Hosts) -> None:
    async def scenario() -> None:
        question = json.encode(Question("work", 5.0, Raw(b"{}")))
        async with Worker().serving(hosts.there) as worker, hosts.gateway() as place:
            reader, writer = await asyncio.open_connection(*place)
            nonces = (await reader.readline())[:-1] + b" ours"
            said = b"ours " + SECRET.sign("caller", nonces, question) + b"\n"
            writer.write(said)
            answer = (await reader.readline())[:-1]
            assert SECRET.verify("worker", nonces, answer) == b'{"result":"done"}'
            writer.close()
            reader, writer = await asyncio.open_connection(*place)
            await reader.readline()
            writer.write(said)
            assert await reader.readline() == b"refused\n"
            writer.close()
            assert len(worker.ran) == 1

    run(scenario())


@pytest.mark.parametrize("said", [b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000 + b"\n"])
def test_strangers_disturb_nobody(hosts: Hosts, said: bytes) -> None:
    async def scenario() -> None:
        async with Worker().serving(hosts.there) as worker, hosts.gateway() as place:
            reader, writer = await asyncio.open_connection(*place)
            await reader.readline()
            writer.write(said)
            writer.write_eof()
            assert await reader.read() in (b"", b"refused\n")
            writer.close()
            assert await hosts.caller().call(CALL) == '"done"'
            assert len(worker.ran) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ONECOPY_CALLS_SECRET": "short"}, "less than 32 characters"),
        ({"ONECOPY_CALLS": "0.0.0.0:7788"}, "not by which other hosts reach"),
        ({"ONECOPY_CALLS": "10.0.0.5"}, "not by which other hosts reach"),
        ({"ONECOPY_CALLS": "10.0.0.5:70000"}, "not by which other hosts reach"),
        ({"ONECOPY_CALLS": "10.0.0.5:7788"}, "need ONECOPY_CALLS_SECRET"),
    ],
)
def test_settings_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=words):
        assert place_here() is secret_here() is None


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (place_here(), secret_here()) == (None, None)
    monkeypatch.setenv("ONECOPY_CALLS_SECRET", "x" * 32)
    monkeypatch.setenv("ONECOPY_CALLS", "[fd00::1]:7788")
    assert place_here() == ("fd00::1", 7788)
