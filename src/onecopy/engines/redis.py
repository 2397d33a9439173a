"""The Redis engine: rings and changes through a server that all hosts reach.

A worker that waits is noted there, under its queues; a ring takes as many of those who wait as
there are jobs, and publishes to the channel of each. So one ring wakes one worker, on whichever
host, and rings never pile up. Changes are published to one channel, which all followers hear.

The Redis store rings for what it accepts, and tells what it changes, by itself, in the step that
records it: see `redis_scripts/ringing.lua` of the package, and `redis_news.py`.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from urllib.parse import quote

from onecopy import redis_news
from onecopy.engines.base import Ended, Engine, Rung
from onecopy.engines.presence import Presence
from onecopy.engines.redis_wire import Ear, Sender
from onecopy.jobs import Job
from onecopy.redis_address import RedisAddress
from onecopy.redis_script import Script

_RING: Final = Script("onecopy.engines", "ring", rings=True)
_WAIT: Final = Script("onecopy.engines", "wait", rings=True)
_LEAVE: Final = Script("onecopy.engines", "leave", rings=True)
_AGAIN: Final = 0.2
"""Seconds until a worker whose words were lost stands in the line again."""
_HELD: Final = 10_000
"""Changes that a follower has not taken yet; more are dropped: it looks by itself, soon."""


class RedisEngine:
    """Wakes the processes that use one Redis server."""

    def __init__(self, address: RedisAddress, own: Engine | None = None) -> None:
        """Take an address; own: the store's own engine, by which changes are told, if not by it."""
        self.address = address
        self._own = own
        self._tag = f"{{{address.prefix}}}"
        self._id = secrets.token_hex(8)
        presence = Presence(f"the Redis server of the engine, {address.name}")
        self._sender = Sender(address, (_RING, _WAIT, _LEAVE), presence)
        self._ear = Ear(address, self._heard, self._stir, presence)
        self._changes = redis_news.changes(self._tag)
        self._ended = redis_news.ended(self._tag)
        self._wake = f"{self._tag}wake:{self._id}"
        self._followers: set[asyncio.Queue[str]] = set()
        self._to_tell: list[str] = []
        self._to_ring: Counter[str] = Counter()
        self._speaking = False
        self._rings = 0
        """Rings for this worker that it has not taken yet."""
        self._stirred = asyncio.Event()
        """It was rung, or may not stand in the line any more."""

    @property
    def names_jobs(self) -> bool:
        """They do not: whoever is woken looks into the store."""
        return False

    async def open(self) -> None:
        """Nothing is to be done here: it connects when it is used."""
        if self._own is not None:
            await self._own.open()

    async def close(self) -> None:
        """Say what is to be said, and let go."""
        self._speak()
        await self._sender.close()
        await self._ear.close()
        if self._own is not None:
            await self._own.close()

    # Rings.

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Wake waiting workers, soon."""
        self._to_ring.update(quote(job.queue, safe="") for job in jobs)
        self._speak_soon()

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Wait in line with the workers of all hosts."""
        try:
            async with asyncio.timeout(seconds):
                while not self._rings:
                    await self._ear.listen(self._wake)
                    await self._wait([quote(queue, safe="") for queue in queues], seconds)
        except TimeoutError:
            return None
        self._rings = 0
        return ()

    async def _wait(self, queues: Sequence[str], seconds: float) -> None:
        worker = " ".join([self._id, *queues])
        self._stirred.clear()
        words = (worker, int(seconds * 1000), *queues)
        self._sender.send(_WAIT.call(self._tag, self._tag, *words), self._answered)
        try:
            await self._stirred.wait()
        finally:
            # Whoever was rung stands there no more; who is just now, has that for its next wait.
            if not self._rings:
                self._sender.send(_LEAVE.call(self._tag, self._tag, worker))

    def _answered(self, answer: Any) -> None:  # noqa: ANN401 - a reply
        if answer == 1:
            self._ring_here()
        elif answer == 2:
            self._ear.begin_anew()
        elif answer is None:  # The words were lost, or their answer.
            asyncio.get_running_loop().call_later(_AGAIN, self._stir)

    def _ring_here(self) -> None:
        self._rings += 1
        self._stir()

    def _stir(self) -> None:
        self._stirred.set()

    async def claimed(self) -> None:
        """Nothing is to be done: a ring names no jobs."""

    # Changes.

    async def tell(self, jobs: Sequence[str]) -> None:
        """Publish the ids, soon; those of one moment together."""
        if self._own is not None:
            await self._own.tell(jobs)
            return
        self._to_tell += jobs
        self._speak_soon()

    def changes(self) -> AsyncIterator[str]:
        """Hear what is published."""
        return self._hear() if self._own is None else self._own.changes()

    async def _hear(self) -> AsyncIterator[str]:
        held: asyncio.Queue[str] = asyncio.Queue(_HELD)
        self._followers.add(held)
        try:
            await self._ear.listen(self._changes, self._ended)
            while True:
                yield await held.get()
        finally:
            self._followers.discard(held)

    def _heard(self, channel: str, data: bytes) -> None:
        if channel == self._wake:
            self._ring_here()
            return
        jobs: Sequence[str]
        if channel == self._ended:
            jobs = (Ended.of(redis_news.job_of(data)),)
        else:
            jobs = data.decode().split("\n")
        for held in self._followers:
            for job in jobs[: held.maxsize - held.qsize()]:
                held.put_nowait(job)

    # What is said.

    def _speak_soon(self) -> None:
        if not self._speaking:
            self._speaking = True
            asyncio.get_running_loop().call_soon(self._speak)

    def _speak(self) -> None:
        self._speaking = False
        if self._to_tell:
            self._sender.send(("PUBLISH", self._changes, "\n".join(self._to_tell)))
            self._to_tell = []
        if self._to_ring:
            words = [word for each in self._to_ring.items() for word in each]
            self._sender.send(_RING.call(self._tag, self._tag, *words))
            self._to_ring.clear()
