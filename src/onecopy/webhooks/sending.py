"""One try to deliver a webhook: a POST to an address that was checked, within limits."""

import asyncio
import ipaddress
import re
import ssl
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal, cast, override

import httpcore

from onecopy.deliveries import Delivery, Try
from onecopy.errors import CallbackRefused
from onecopy.webhooks.addresses import Address, Network, Resolve, addresses_of
from onecopy.webhooks.config import Webhooks
from onecopy.webhooks.names import resolve
from onecopy.webhooks.signing import signed
from onecopy.webhooks.urls import Target, read_url

_HEADERS: Final = {
    "Content-Type": "application/json",
    "User-Agent": "onecopy-webhooks",
    "Accept": "*/*",
}
_MOST_ADDRESSES: Final = 4
_LONGEST_WORDS: Final = 300
_LONGEST_RETRY_AFTER: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a receiver may cost.

    total: seconds for a try. connect: seconds for one address. answer, rest: bytes of an answer's
    body that are read, and seconds that they are waited for: only to use the connection again.
    connections: at a time, to all receivers.
    """

    total: float = 15.0
    connect: float = 5.0
    answer: int = 64 * 1024
    rest: float = 1.0
    connections: int = 256


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try; `retry_after`: seconds that the receiver asked to be left alone for."""

    outcome: Try
    retry_after: float | None = None


class Sender:
    """Sends from one process and event loop. Making one takes a moment: certificates are read."""

    def __init__(
        self, config: Webhooks, *, resolve: Resolve = resolve, limits: Limits | None = None
    ) -> None:
        """Raises WebhooksNotInstalled, and StateFolderError if no key can be had."""
        self._limits = limits or Limits()
        self._signers = config.signers()
        tls = _tls()
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=self._limits.connections,
                max_keepalive_connections=self._limits.connections // 4,
                keepalive_expiry=10.0,
                network_backend=_Pinned(scheme, config.allow, resolve),
            )
            for scheme in _SCHEMES
        }

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    async def send(self, delivery: Delivery) -> Tried:
        """Try to deliver once; whatever happens is what came of it."""
        at, began = time.time(), time.monotonic()

        def tried(status: int | None, error: str | None, wait: float | None = None) -> Tried:
            return Tried(Try(at, status, error, round(time.monotonic() - began, 6)), wait)

        try:
            async with asyncio.timeout(self._limits.total):
                response = await self._post(delivery, at)
        except TimeoutError:
            return tried(None, f"no answer within {self._limits.total:g} s")
        except Exception as error:
            return tried(None, _words(error))
        error = _words_of(response.status)
        result = tried(response.status, error, _retry_after(response, at) if error else None)
        await self._finish(response)
        return result

    async def _post(self, delivery: Delivery, at: float) -> httpcore.Response:
        target = read_url(delivery.url)
        body = delivery.payload.encode()
        headers = {
            "Host": target.authority,
            "Content-Length": str(len(body)),
            **_HEADERS,
            **signed(delivery.id, at, body, self._signers),
        }
        # Of its parts: nobody is to read the URL a second time.
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        limits = {"connect": self._limits.connect, "pool": self._limits.total}
        request = httpcore.Request(
            "POST", url, headers=[*headers.items()], content=body, extensions={"timeout": limits}
        )
        return await self._pools[target.scheme].handle_async_request(request)

    async def _finish(self, response: httpcore.Response) -> None:
        """Read an answer that is short and at hand; the connection of any other is closed."""
        size = 0
        with suppress(httpcore.NetworkError, httpcore.ProtocolError, TimeoutError, OSError):
            async with asyncio.timeout(self._limits.rest):
                async for chunk in response.aiter_stream():
                    size += len(chunk)
                    if size > self._limits.answer:
                        break
        await response.aclose()


type _Scheme = Literal["http", "https"]
_SCHEMES: Final[tuple[_Scheme, ...]] = ("http", "https")


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked; nobody looks them up again in between."""

    def __init__(self, scheme: _Scheme, allow: Sequence[Network], resolve: Resolve) -> None:
        self._scheme: _Scheme = scheme
        self._allow = allow
        self._resolve = resolve
        # To type checkers it is also what stands for it where anyio is missing.
        self._plain = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        target = Target(f"{self._scheme}://{host}", self._scheme, host, port, "/", _literal(host))
        try:
            addresses = await addresses_of(target, self._allow, self._resolve)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error.strerror or error}") from error
        failed: Exception | None = None
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return await self._plain.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None, "a name with no address has been refused"
        raise failed


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _tls() -> ssl.SSLContext:
    """What the system trusts, SSL_CERT_FILE, and what browsers trust (certifi)."""
    context = httpcore.default_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _words_of(status: int) -> str | None:
    if 200 <= status <= 299:
        return None
    note = ": redirects are not followed" if 300 <= status <= 399 else ""
    return f"answered {status}{note}"


def _words(error: Exception) -> str:
    """Say in a line why there was no answer."""
    match error:
        case CallbackRefused():
            words = f"refused: {error.reason}"
        case httpcore.ConnectTimeout():
            words = "cannot connect in time"
        case httpcore.ConnectError():
            words = f"cannot connect: {error}"
        case httpcore.RemoteProtocolError():
            words = f"what it answered is no HTTP: {error}"
        case httpcore.NetworkError():
            words = f"the connection broke: {error.__cause__ or error}"
        case _:
            words = f"{type(error).__name__}: {error}"
    plain = "".join(each if each.isprintable() else " " for each in words)
    return plain[:_LONGEST_WORDS].strip().rstrip(":")


def _retry_after(response: httpcore.Response, now: float) -> float | None:
    headers = [value for name, value in response.headers if name.lower() == b"retry-after"]
    return read_retry_after(headers[0].decode("latin-1"), now) if headers else None


def read_retry_after(text: str, now: float) -> float | None:
    """Return the seconds that a header asks to be left alone for: as a number, or as a date."""
    seconds: float | None = None
    if re.fullmatch(r"[0-9]+", text):
        seconds = float(text[:10])
    else:
        with suppress(ValueError):
            seconds = parsedate_to_datetime(text).timestamp() - now
    if seconds is None:
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)
