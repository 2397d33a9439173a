"""The web worker: uvicorn, on connections that it accepts itself.

Held to documented behaviour of uvicorn only: a subclass of `Server`, a wrapper around the app, and
names without an underscore (`servers`, `server_state`, `on_tick`, `lifespan`).
"""

import asyncio
import contextlib
import faulthandler
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from types import FrameType
from typing import Any, cast, override

from uvicorn import Config, Server

from onecopy.server.acceptor import Acceptor
from onecopy.server.channel import Channel, Closed
from onecopy.server.limits import STACK_SIGNAL
from onecopy.server.process import seed_again
from onecopy.server.scoreboard import Scoreboard
from onecopy.server.settings import Settings

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Message, Receive, Send], Awaitable[None]]


class AnnounceClose:
    """Wraps the app: once `draining`, HTTP/1 answers say `Connection: close` (RFC 9112, 9.6).

    Answers that would stay for long find it in their scope's `extensions`, as `onecopy.draining`.
    on_draining: called when it begins.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.draining = False
        self.on_draining: list[Callable[[], None]] = []

    def drain(self) -> None:
        """Announce it from now on, and tell who wants to know."""
        self.draining = True
        for callback in self.on_draining:
            callback()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on, and look at the start of an answer."""
        if scope["type"] != "lifespan":
            scope["extensions"] = {**(scope.get("extensions") or {}), "onecopy.draining": self}
        if scope["type"] != "http" or not scope["http_version"].startswith("1"):
            await self._app(scope, receive, send)
            return

        async def announcing(message: Message) -> None:
            if self.draining and message["type"] == "http.response.start":
                others = [
                    (name, value)
                    for name, value in message.get("headers", ())
                    if bytes(name).lower() != b"connection"
                ]
                message = {**message, "headers": [*others, (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, announcing)


class CountedConnections(set[Any]):
    """uvicorn's set of open connections, counted where other processes can see it."""

    def __init__(self, scoreboard: Scoreboard, slot: int) -> None:
        super().__init__()
        self._scoreboard = scoreboard
        self._slot = slot
        self.arriving = 0
        """Accepted, but not yet in the set."""
        self.on_fewer: list[Callable[[], None]] = []
        """Called when a connection has ended."""

    def publish(self) -> None:
        """Tell the others how many there are."""
        self._scoreboard.set_connections(self._slot, len(self) + self.arriving)

    @override
    def add(self, element: Any, /) -> None:
        super().add(element)
        self.publish()

    @override
    def discard(self, element: Any, /) -> None:
        super().discard(element)
        self._fewer()

    @override
    def remove(self, element: Any, /) -> None:
        super().remove(element)
        self._fewer()

    def _fewer(self) -> None:
        self.publish()
        for callback in self.on_fewer:
            callback()


class WebServer(Server):
    """uvicorn's server, with a drain that loses no request."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        slot: int,
        channel: Channel,
        scoreboard: Scoreboard,
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._slot = slot
        self._channel = channel
        self._scoreboard = scoreboard
        self._patient = True
        self._retiring = False
        self._retire_after = _with_jitter(settings.max_requests, settings.max_requests_jitter)
        self._announce = AnnounceClose(cast(App, cast(Any, config).loaded_app))
        config.loaded_app = self._announce
        self._connections = CountedConnections(scoreboard, slot)
        self.server_state.connections = self._connections
        self._acceptors: list[Acceptor] = []

    # Start.

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start with no listener of uvicorn's own, then accept."""
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._read_channel)
        self._scoreboard.turned(self._slot)
        for fd in self._settings.sockets:
            listener = socket.socket(fileno=fd)
            listener.setblocking(False)
            if self._settings.listen:  # Said again by each worker; the first one counts.
                listener.listen(self._settings.backlog)
            acceptor = Acceptor(
                listener,
                self._protocol,
                self.config.ssl,
                self._connections,
                self._scoreboard,
                self._slot,
            )
            acceptor.start()
            self._acceptors.append(acceptor)
        self._scoreboard.set_accepting(self._slot, True)
        self._channel.send({"event": "ready"})

    def _protocol(self) -> asyncio.Protocol:
        create: Any = self.config.http_protocol_class
        return create(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    # While it runs.

    def _read_channel(self) -> None:
        try:
            for message in self._channel.receive():
                self._leave(patient=message["command"] == "drain")
        except Closed:
            # The supervisor is gone. On Linux the kernel has killed this process by now.
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self.force_exit = True
            self._leave(patient=False)

    def _leave(self, *, patient: bool) -> None:
        self._patient = patient
        self.should_exit = True

    @override
    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: tell that the loop turns; ask to be replaced after many requests."""
        answered = self.server_state.total_requests
        self._scoreboard.turned(self._slot)
        limit = self._retire_after
        if limit is not None and answered >= limit and not self._retiring:
            self._retiring = True
            reason = f"it answered {answered} requests (--max-requests)"
            with contextlib.suppress(Closed):
                self._channel.send({"event": "retire", "reason": reason})
        return await super().on_tick(counter)

    # End.

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let connections come to their end, then do as uvicorn does."""
        self._scoreboard.set_accepting(self._slot, False)
        for acceptor in self._acceptors:
            await acceptor.stop()
        self._announce.drain()
        if self._patient:
            await self._wait_for_idle_connections()
        await super().shutdown(sockets=[])

    async def _wait_for_idle_connections(self) -> None:
        # A client may be sending on an idle keep-alive connection right now. uvicorn ends each
        # after its keep-alive time; until then a request is answered, and its answer says close.
        ends = time.monotonic() + self._settings.timeout_keep_alive + 1
        counter = 0
        while self._connections and time.monotonic() < ends and not self.force_exit:
            await asyncio.sleep(0.02)
            counter += 1
            if counter % 5 == 0:
                await self.on_tick(counter // 5 * 10)

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Drain at SIGTERM, and end with exit code 0 after it."""

        def drain(number: int, frame: FrameType | None) -> None:
            self.should_exit = True

        before = signal.signal(signal.SIGTERM, drain)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _with_jitter(limit: int | None, jitter: int) -> int | None:
    return None if limit is None else limit + random.randint(0, jitter)


class WebWorker:
    """One web worker, from the fork to its end."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        slot: int,
        channel: Channel,
        scoreboard: Scoreboard,
    ) -> None:
        seed_again()
        channel.setblocking(False)
        faulthandler.register(STACK_SIGNAL, all_threads=True, chain=False)
        self._server = WebServer(config, settings, slot, channel, scoreboard)

    def run(self) -> None:
        """Serve until told to leave.

        Raises:
            SystemExit: the app's start-up failed; uvicorn has logged why.
        """
        self._server.run(sockets=[])
