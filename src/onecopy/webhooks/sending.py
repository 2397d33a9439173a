"""One try to deliver a webhook: a POST to an address that was checked, within limits."""

import asyncio
import re
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import h11

from onecopy.deliveries import Delivery, Try
from onecopy.errors import CallbackRefused
from onecopy.webhooks.addresses import Resolve, addresses_of
from onecopy.webhooks.config import Webhooks
from onecopy.webhooks.connection import Broken, Connection
from onecopy.webhooks.names import resolve
from onecopy.webhooks.signing import signed
from onecopy.webhooks.tried import Tried
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
    idle: seconds that a connection is kept for the next request.
    """

    total: float = 15.0
    connect: float = 5.0
    answer: int = 64 * 1024
    rest: float = 1.0
    idle: float = 4.0


class Sender:
    """Sends from one process and event loop."""

    def __init__(
        self, config: Webhooks, *, resolve: Resolve = resolve, limits: Limits | None = None
    ) -> None:
        """Making one takes a moment: keys and certificates are read.

        Raises WebhooksNotInstalled, and StateFolderError if no key can be had.
        """
        self._limits = limits or Limits()
        self._signers = config.signers()
        self._allow = config.allow
        self._resolve = resolve
        self._tls = ssl.create_default_context()
        self._idle: dict[tuple[str, str, int], list[_Idle]] = {}

    async def close(self) -> None:
        """Close all connections."""
        for kept in self._idle.values():
            for each in kept:
                each.timer.cancel()
                each.connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # For the transports to end.

    async def send(self, delivery: Delivery) -> Tried:
        """Try to deliver once; whatever happens is what came of it."""
        at, began = time.time(), time.monotonic()

        def tried(status: int | None, error: str | None, wait: float | None = None) -> Tried:
            return Tried(Try(at, status, error, round(time.monotonic() - began, 6)), wait)

        try:
            target = read_url(delivery.url)
            async with asyncio.timeout(self._limits.total):
                connection, response = await self._post(target, delivery, at)
        except TimeoutError as error:
            return tried(None, str(error) or f"no answer within {self._limits.total:g} s")
        except Exception as error:
            return tried(None, _words(error))
        error = _words_of(response.status_code)
        result = tried(response.status_code, error, _retry_after(response, at) if error else None)
        await self._finish(target, connection)
        return result

    async def _post(
        self, target: Target, delivery: Delivery, at: float
    ) -> tuple[Connection, h11.Response]:
        kept = self._take_idle(target)
        if kept is not None:
            # Its other end may have closed it at this moment: then it has not seen the request.
            with suppress(Broken, ConnectionError):
                return await self._post_over(kept, target, delivery, at)
        return await self._post_over(await self._connect(target), target, delivery, at)

    async def _post_over(
        self, connection: Connection, target: Target, delivery: Delivery, at: float
    ) -> tuple[Connection, h11.Response]:
        body = delivery.payload.encode()
        headers = {
            "Host": target.authority,
            "Content-Length": str(len(body)),
            **_HEADERS,
            **signed(delivery.id, at, body, self._signers.of(delivery.url)),
        }
        try:
            return connection, await connection.post(target.path, [*headers.items()], body)
        except BaseException:
            connection.close()
            raise

    async def _connect(self, target: Target) -> Connection:
        """Connect to the first address of the target that can be had; all of them are checked."""
        failed: Exception = OSError("it has no address")
        for address in (await addresses_of(target, self._allow, self._resolve))[:_MOST_ADDRESSES]:
            try:
                async with asyncio.timeout(self._limits.connect):
                    tls = self._tls if target.scheme == "https" else None
                    return await Connection.open(address, target.port, target.host, tls)
            except TimeoutError:
                failed = TimeoutError("cannot connect in time")
            except OSError as error:
                failed = error
        raise failed

    async def _finish(self, target: Target, connection: Connection) -> None:
        """Read an answer that is short and at hand; the connection of any other is closed."""
        with suppress(Broken, OSError):
            async with asyncio.timeout(self._limits.rest):
                await connection.finish(self._limits.answer)
            if connection.usable:
                self._keep_idle(target, connection)
                return
        connection.close()

    def _keep_idle(self, target: Target, connection: Connection) -> None:
        def drop() -> None:
            self._remove(target, idle)
            connection.close()

        timer = asyncio.get_running_loop().call_later(self._limits.idle, drop)
        idle = _Idle(connection, timer)
        self._idle.setdefault(target.origin, []).append(idle)

    def _take_idle(self, target: Target) -> Connection | None:
        while kept := self._idle.get(target.origin):
            idle = kept[-1]
            self._remove(target, idle)
            idle.timer.cancel()
            if idle.connection.usable:
                return idle.connection
            idle.connection.close()
        return None

    def _remove(self, target: Target, idle: "_Idle") -> None:
        kept = self._idle[target.origin]
        kept.remove(idle)
        if not kept:
            del self._idle[target.origin]


@dataclass(eq=False, slots=True)
class _Idle:
    connection: Connection
    timer: asyncio.TimerHandle


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
        case Broken():
            words = str(error)
        case ssl.SSLError():
            words = f"cannot connect by TLS: {error}"
        case ConnectionResetError() | BrokenPipeError():
            words = f"the connection broke: {error}"
        case OSError():
            words = f"cannot connect: {error.strerror or error}"
        case _:
            words = f"{type(error).__name__}: {error}"
    plain = "".join(each if each.isprintable() else " " for each in words)
    return plain[:_LONGEST_WORDS].strip()


def _retry_after(response: h11.Response, now: float) -> float | None:
    headers = [value for name, value in response.headers if name == b"retry-after"]
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
