import asyncio
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import standardwebhooks
import trustme

from onecopy.errors import WebhookRefused
from onecopy.webhooks import Endpoint, Webhooks, verify
from onecopy.webhooks.addresses import Resolve
from onecopy.webhooks.names import resolve as by_the_system
from onecopy.webhooks.sending import Limits, Sender, Tried, read_retry_after
from tests.webhooks.keys import OTHER_SECRET, PRIVATE, SECRET
from tests.webhooks.receivers import (
    BODY,
    Behaviour,
    Connection,
    answers,
    delivery,
    hangs,
    local,
    server,
)

QUICK = Limits(total=0.4, rest=0.2)


@asynccontextmanager
async def sender(
    config: Webhooks | None = None,
    resolve: Resolve = by_the_system,
    limits: Limits | None = None,
) -> AsyncGenerator[Sender]:
    made = Sender(config or local(), resolve=resolve, limits=limits)
    try:
        yield made
    finally:
        await made.close()


def send_to(behave: Behaviour, limits: Limits | None = None) -> Tried:
    async def scenario() -> Tried:
        async with server(behave) as receiver, sender(limits=limits) as sends:
            return await sends.send(delivery(receiver.url))

    return asyncio.run(scenario())


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


def test_what_arrives_can_be_verified() -> None:
    async def scenario() -> None:
        async with server() as receiver, sender() as sends:
            tried = await sends.send(delivery(receiver.url))
            (got,) = receiver.requests
            assert got.line == "POST /hook?a=b HTTP/1.1"
            assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
            assert got.headers["content-type"] == "application/json"
            assert got.headers["webhook-id"] == "msg_1"
            assert got.body == BODY.encode()
            assert standardwebhooks.Webhook(SECRET).verify(got.body, got.headers)
            assert verify(got.body, got.headers, PRIVATE.public) == json.loads(BODY)
            assert (tried.outcome.status_code, tried.outcome.error) == (200, None)
            assert 0 < tried.outcome.seconds < 10

    run(scenario)


def test_an_endpoint_is_told_under_its_own_secret() -> None:
    async def scenario() -> None:
        async with server() as receiver:
            config = local(urls=[Endpoint(receiver.url, secrets=OTHER_SECRET)])
            async with sender(config) as sends:
                await sends.send(delivery(receiver.url))
            (got,) = receiver.requests
            assert standardwebhooks.Webhook(OTHER_SECRET).verify(got.body, got.headers)
            with pytest.raises(WebhookRefused):
                verify(got.body, got.headers, SECRET)

    run(scenario)


def test_a_connection_is_used_again() -> None:
    async def scenario() -> None:
        async with server(answers(200, body=b"x" * 65_536)) as receiver, sender() as sends:
            for _ in range(3):
                assert (await sends.send(delivery(receiver.url))).outcome.succeeded
            assert (len(receiver.requests), receiver.connections) == (3, 1)

    run(scenario)


def test_a_connection_that_the_receiver_has_closed() -> None:
    async def closes(connection: Connection) -> None:
        await answers(200)(connection)
        connection.writer.close()

    async def scenario() -> None:
        async with server(closes) as receiver, sender() as sends:
            for _ in range(3):
                assert (await sends.send(delivery(receiver.url))).outcome.succeeded
            assert receiver.connections == 3

    run(scenario)


def test_a_connection_that_the_receiver_closes_at_this_moment() -> None:
    """It is the first that it closes when it sees a second request: that is sent once more."""

    async def scenario() -> None:
        async with server() as receiver, sender() as sends:

            async def closes(connection: Connection) -> None:
                if receiver.connections == 1 and len(receiver.requests) == 2:
                    connection.writer.close()
                else:
                    await answers(200)(connection)

            receiver.behave = closes
            for _ in range(2):
                assert (await sends.send(delivery(receiver.url))).outcome.succeeded
            assert (len(receiver.requests), receiver.connections) == (3, 2)

    run(scenario)


def test_a_connection_is_not_kept_for_long() -> None:
    async def scenario() -> None:
        limits = Limits(idle=0.05)
        async with server() as receiver, sender(limits=limits) as sends:
            for _ in range(2):
                assert (await sends.send(delivery(receiver.url))).outcome.succeeded
                await asyncio.sleep(0.2)
            assert receiver.connections == 2

    run(scenario)


@pytest.mark.parametrize("status", [201, 204, 299])
def test_2xx_is_a_success(status: int) -> None:
    assert send_to(answers(status)).outcome.error is None


@pytest.mark.parametrize("status", [301, 400, 404, 410, 500, 599])
def test_any_other_answer_is_not(status: int) -> None:
    outcome = send_to(answers(status)).outcome
    assert outcome.status_code == status
    assert str(outcome.error).startswith(f"answered {status}")


def test_a_redirect_to_a_private_address_is_not_followed() -> None:
    async def scenario() -> None:
        async with server() as private, server() as receiver, sender() as sends:
            for status in (301, 302, 303, 307, 308):
                receiver.behave = answers(status, f"Location: {private.url}")
                outcome = (await sends.send(delivery(receiver.url))).outcome
                assert (outcome.status_code, outcome.succeeded) == (status, False)
            assert private.connections == 0

    run(scenario)


async def says_nothing(connection: Connection) -> None:
    connection.writer.close()


async def resets(connection: Connection) -> None:
    sock: socket.socket = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.reset()


async def answers_nonsense(connection: Connection) -> None:
    await connection.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def drips_headers(connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.write(b"X-Drip: drop\r\n")
        await asyncio.sleep(0.02)


async def floods_headers(connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.write(b"X-Flood: " + b"x" * 65_536 + b"\r\n")


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (hangs, "no answer within 0.4 s"),
        (drips_headers, "no answer within 0.4 s"),
        (says_nothing, "closed the connection without an answer"),
        (resets, "the connection broke"),
        (answers_nonsense, "no HTTP"),
        (floods_headers, "no HTTP"),
    ],
)
def test_a_receiver_that_does_not_answer(behave: Behaviour, words: str) -> None:
    began = time.monotonic()
    outcome = send_to(behave, QUICK).outcome
    assert outcome.status_code is None
    assert words in str(outcome.error)
    assert time.monotonic() - began < 10


def test_nobody_listens() -> None:
    async def scenario() -> None:
        async with server() as receiver:
            url = receiver.url
        async with sender() as sends:
            assert "cannot connect" in str((await sends.send(delivery(url))).outcome.error)

    run(scenario)


def test_of_a_gigabyte_little_is_read() -> None:
    """And the status is what counts, so it is a success."""
    written = 0

    async def floods(connection: Connection) -> None:
        nonlocal written
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            await connection.write(b"x" * 65_536)
            written += 65_536

    assert send_to(floods).outcome.succeeded
    assert written < 64 * 1024 * 1024  # what fits into the sockets of both ends


def test_a_body_that_drips_is_not_waited_for() -> None:
    async def drips(connection: Connection) -> None:
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await connection.write(b"x")
            await asyncio.sleep(0.02)

    began = time.monotonic()
    outcome = send_to(drips, Limits(total=30, rest=0.2)).outcome
    assert outcome.succeeded
    assert time.monotonic() - began < 10


# Names and addresses.


def names(*answers: Sequence[str]) -> tuple[Resolve, list[str]]:
    """A resolver that gives one answer after the other, and the names that it was asked for."""
    asked: list[str] = []

    async def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


def test_a_name_is_looked_up_once_and_that_address_connected_to() -> None:
    """Were it looked up again, it would be somewhere else by then."""

    async def scenario() -> None:
        resolve, asked = names(["127.0.0.1"], ["127.0.0.2"])
        async with server() as receiver, sender(resolve=resolve) as sends:
            url = f"http://hooks.example:{receiver.port}/"
            assert (await sends.send(delivery(url))).outcome.succeeded
            assert asked == ["hooks.example"]
            assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"

    run(scenario)


def test_a_name_that_has_moved_to_a_private_address() -> None:
    async def scenario() -> None:
        resolve, _ = names(["127.0.0.1"])
        config = Webhooks(secrets=SECRET, private_key=PRIVATE.write(), allow="")
        async with server() as receiver, sender(config, resolve) as sends:
            for scheme in ("https", "http"):
                url = f"{scheme}://hooks.example:{receiver.port}/"
                outcome = (await sends.send(delivery(url))).outcome
                assert str(outcome.error).startswith("refused: it")
                assert outcome.status_code is None
            assert receiver.connections == 0

    run(scenario)


def test_the_next_address_is_tried() -> None:
    async def scenario() -> None:
        resolve, _ = names(["127.0.0.2", "127.0.0.1"])
        async with server() as receiver, sender(resolve=resolve) as sends:
            url = f"http://hooks.example:{receiver.port}/"
            assert (await sends.send(delivery(url))).outcome.succeeded

    run(scenario)


def test_a_name_that_nobody_knows() -> None:
    async def unknown(_host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def hanging(_host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async def scenario() -> None:
        for resolve, words in ((unknown, "not known"), (hanging, "no answer within")):
            async with sender(resolve=resolve, limits=QUICK) as sends:
                outcome = (await sends.send(delivery("https://hooks.example/"))).outcome
                assert words in str(outcome.error)

    run(scenario)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """For a server named hooks.example, by an authority that the system trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("hooks.example").private_key_and_cert_chain_pem
    certificate.write_to_path(tmp_path / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


def test_tls_keeps_the_name(tls: ssl.SSLContext) -> None:
    asked_for: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked_for.append(name)

    async def scenario() -> None:
        resolve, _ = names(["127.0.0.1"])
        async with server(tls=tls) as receiver, sender(resolve=resolve) as sends:
            good = await sends.send(delivery(f"https://hooks.example:{receiver.port}/"))
            assert good.outcome.error is None
            other = await sends.send(delivery(f"https://other.example:{receiver.port}/"))
            assert "certificate" in str(other.outcome.error).lower()
            assert len(receiver.requests) == 1
        assert asked_for == ["hooks.example", "other.example"]

    run(scenario)


def test_a_certificate_that_nobody_trusts(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    async def scenario() -> None:
        resolve, _ = names(["127.0.0.1"])
        async with server(tls=tls) as receiver, sender(resolve=resolve) as sends:
            tried = await sends.send(delivery(f"https://hooks.example:{receiver.port}/"))
            assert "certificate" in str(tried.outcome.error).lower()
            plain = await sends.send(delivery(f"http://hooks.example:{receiver.port}/"))
            assert plain.outcome.status_code is None
            assert receiver.requests == []

    run(scenario)


# Retry-After.

NOW = 1_800_000_000.0
IN_TWO_MINUTES = format_datetime(datetime.fromtimestamp(NOW + 120, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        (IN_TWO_MINUTES, 120),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("9" * 400, 86400),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("\u0661", None),
        ("", None),
        ("Thu, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_when_a_receiver_would_be_asked_again(text: str, seconds: float | None) -> None:
    assert read_retry_after(text, NOW) == seconds


def test_retry_after_is_passed_on_from_a_failure() -> None:
    assert send_to(answers(503, "Retry-After: 7")).retry_after == 7
    assert send_to(answers(429, "retry-after: soon")).retry_after is None
    assert send_to(answers(200, "Retry-After: 7")).retry_after is None
