"""The PostgreSQL engine: rings and changes by NOTIFY, over one connection of each process.

A notification wakes every process that listens: of those that look for the job, one has it, and the
others have asked in vain. That is cheap, and at most once for each round of notifications.

What is sent while the server is away is not sent later, but for the queues that were rung: workers
look into the store once a second anyway.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from itertools import batched
from typing import Final

from psycopg import Error, Notify

from onecopy.engines.base import Engine, Rung
from onecopy.engines.presence import Presence
from onecopy.jobs import Job
from onecopy.postgres_address import PostgresAddress
from onecopy.postgres_connection import Connection, connect, cut

_RINGS: Final = "rings"
_CHANGES: Final = "changes"
_LONGEST: Final = 7900
"""Bytes of a notification: the server takes fewer than 8,000."""
_TOLD_AT_ONCE: Final = 200
_MOST: Final = 10_000
"""Ids that wait, to be sent or to be heard: who follows asks the store by itself, soon."""
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.5
_LINGER: Final = 1.0
_QUICKLY: Final = b"SET synchronous_commit = off"
"""A notification is a transaction; it needs no place on the disk before it is heard."""
_NOTIFY: Final = b"SELECT pg_notify(%s, word) FROM unnest(%s::text[]) AS words (word)"

_logger = logging.getLogger("onecopy.engine")


class PostgresEngine:
    """Wakes the processes that listen to one schema of a database."""

    def __init__(self, address: PostgresAddress, own: Engine | None = None) -> None:
        """Take an address; own: the store's own engine, by which changes are told, if not by it."""
        self.address = address
        self._own = own
        self._channels = {what: address.channel(what) for what in (_RINGS, _CHANGES)}
        self._presence = Presence(f"the engine {address.name}")
        self._task: asyncio.Task[None] | None = None
        self._wake, self._sent = asyncio.Event(), asyncio.Event()
        self._was_lost = False
        self._wanted: set[str] = set()
        self._to_ring: set[str] = set()
        self._to_tell: dict[str, None] = {}
        self._queues: set[str] = set()
        """Those that somebody here has waited for; and those of them that were rung."""
        self._rung: set[str] = set()
        self._bell = asyncio.Event()
        self._ears: set[asyncio.Queue[str]] = set()

    @property
    def names_jobs(self) -> bool:
        """No: a worker finds in the store what it was rung for."""
        return False

    async def open(self) -> None:
        """Have it connect; whether that succeeds is not waited for."""
        if self._own is not None:
            await self._own.open()
        if self._task is None:
            # Of this loop: the ones before may have been used in another.
            self._wake, self._bell, self._sent = (asyncio.Event() for _ in range(3))
            self._sent.set()
            self._task = asyncio.create_task(self._work(), name="onecopy: notifications")

    async def close(self) -> None:
        """Send what waits, if the server is there, and let go."""
        task, self._task = self._task, None
        if task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER):
                    await self._sent.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._own is not None:
            await self._own.close()

    # Rings.

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Have the names of the queues sent."""
        self._to_ring.update(job.queue for job in jobs)
        self._has_words()

    def _has_words(self) -> None:
        self._sent.clear()
        self._wake.set()

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Wait until one of the queues was rung since the last wait."""
        self._queues.update(queues)
        self._want(_RINGS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._rung.isdisjoint(queues):
                    self._bell.clear()
                    await self._bell.wait()
        if self._rung.isdisjoint(queues):
            return None
        self._rung.difference_update(queues)
        return ()

    async def claimed(self) -> None:
        """Do nothing: a ring is heard once."""

    # Changes.

    async def tell(self, jobs: Sequence[str]) -> None:
        """Have the ids sent."""
        if self._own is not None:
            return await self._own.tell(jobs)
        self._to_tell.update(dict.fromkeys(jobs[: _MOST - len(self._to_tell)]))
        return self._has_words()

    def changes(self) -> AsyncIterator[str]:
        """Hear of changes for as long as the iteration goes on."""
        return self._changes() if self._own is None else self._own.changes()

    async def _changes(self) -> AsyncIterator[str]:
        ear: asyncio.Queue[str] = asyncio.Queue(_MOST)
        self._ears.add(ear)
        self._want(_CHANGES)
        try:
            while True:
                yield await ear.get()
        finally:
            self._ears.discard(ear)

    # The connection.

    def _want(self, what: str) -> None:
        if what not in self._wanted:
            self._wanted.add(what)
            self._wake.set()

    async def _work(self) -> None:
        while True:
            try:
                connection = await connect(self.address)
            except (Error, OSError) as error:
                self._presence.gone("notifications", self.address.reason(error))
            else:
                await self._serve(connection)
            self._to_tell.clear()
            await asyncio.sleep(_PAUSE)

    async def _serve(self, connection: Connection) -> None:
        """Send and hear until the connection is lost."""
        connection.add_notify_handler(self._heard)
        self._presence.there("notifications")
        try:
            await self._execute(connection, _QUICKLY)
            listening: set[str] = set()
            while True:
                self._wake.clear()
                self._read(connection)
                new = self._wanted - listening  # More may be wanted while it is listened to these.
                await self._listen(connection, new)
                listening |= new
                await self._send(connection)
                await self._woken(connection)
        except (Error, OSError) as error:
            self._presence.gone("notifications", self.address.reason(error))
        finally:
            self._was_lost = True
            connection.pgconn.finish()

    async def _woken(self, connection: Connection) -> None:
        """Wait until there is something to send or to hear."""
        loop = asyncio.get_running_loop()
        descriptor = connection.fileno()
        loop.add_reader(descriptor, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            loop.remove_reader(descriptor)

    def _read(self, connection: Connection) -> None:
        connection.pgconn.consume_input()
        while (notify := connection.pgconn.notifies()) is not None:
            self._hear(notify.relname.decode(), notify.extra.decode())

    async def _listen(self, connection: Connection, wanted: Iterable[str]) -> None:
        for what in wanted:
            await self._execute(connection, f'LISTEN "{self._channels[what]}"'.encode())
            if what == _RINGS and self._was_lost:  # What was rung meanwhile was not heard.
                self._rung.update(self._queues)
                self._bell.set()

    async def _send(self, connection: Connection) -> None:
        while self._to_ring or self._to_tell:
            queues, self._to_ring = self._to_ring, set()
            jobs, self._to_tell = self._to_tell, {}
            words = [queue for queue in queues if len(queue.encode()) < _LONGEST]
            if words:
                await self._execute(connection, _NOTIFY, self._channels[_RINGS], words)
            words = ["\n".join(some) for some in batched(jobs, _TOLD_AT_ONCE)]
            if words:
                await self._execute(connection, _NOTIFY, self._channels[_CHANGES], words)
        self._sent.set()

    async def _execute(self, connection: Connection, query: bytes, *values: object) -> None:
        timer = asyncio.get_running_loop().call_later(_PATIENCE, cut, connection)
        try:
            await connection.execute(query, values or None)
        finally:
            timer.cancel()

    def _heard(self, notify: Notify) -> None:
        self._hear(notify.channel, notify.payload)

    def _hear(self, name: str, payload: str) -> None:
        if name == self._channels[_RINGS]:
            if payload in self._queues:
                self._rung.add(payload)
                self._bell.set()
            return
        for ear in self._ears:
            with suppress(asyncio.QueueFull):
                for job in payload.splitlines():
                    ear.put_nowait(job)
