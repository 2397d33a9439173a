"""Hears the messages of jobs where no Celery worker does: in `onecopy worker` and `onecopy run`."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from kombu import Consumer as KombuConsumer

from onecopy.engines.base import Rung
from onecopy.engines.celery_app import queue_of, with_patience

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Message

    from onecopy.engines.presence import Presence

_TURN: Final = 0.1
_RETRY: Final = 0.5
_CLOSE: Final = 5.0
"""Seconds that a broker is given to answer who leaves; Redis' client would wait for good."""
_PREFETCH: Final = 16


class Consumer:
    """A thread that receives; what it has received is taken on an event loop.

    A connection of Celery's belongs to one thread, so acknowledgements go through it as well.
    """

    def __init__(self, app: Celery, queues: Sequence[str], presence: Presence) -> None:
        self._app = app
        self._queues = queues
        self._presence = presence
        self._loop = asyncio.get_running_loop()
        self._received: deque[tuple[Rung, Message]] = deque()
        self._acknowledge: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._taken: list[Message] = []
        self.some = asyncio.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="onecopy-celery", daemon=True)
        self._thread.start()

    def take(self, limit: int) -> list[Rung]:
        """Return what was received, so much at most."""
        taken = [self._received.popleft() for _ in range(min(limit, len(self._received)))]
        self._taken += [message for _, message in taken]
        if not self._received:
            self.some.clear()
        return [rung for rung, _ in taken]

    def claimed(self) -> None:
        """Acknowledge all that was taken."""
        for message in self._taken:
            self._acknowledge.put(message)
        self._taken.clear()

    async def close(self) -> None:
        """Receive no more; what was not acknowledged goes back to the broker."""
        self._stopping = True
        await asyncio.to_thread(self._thread.join, _CLOSE)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._consume()
            except Exception as error:  # of the transport: each has its own
                self._presence.gone("consumer", str(error) or type(error).__name__)
                self._forget()
                for _ in range(int(_RETRY / _TURN)):
                    if not self._stopping:
                        threading.Event().wait(_TURN)

    def _forget(self) -> None:
        """What came by a connection that is gone is delivered again."""
        self._received.clear()
        while True:
            try:
                self._acknowledge.get_nowait()
            except queue.Empty:
                return

    def _consume(self) -> None:
        app = cast("Any", self._app)
        with with_patience(app.connection_for_read()) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            channel = connection.default_channel
            queues = [app.amqp.queues[queue_of(app, name)] for name in self._queues]
            consumer = KombuConsumer(
                channel,
                queues,
                on_message=self._hear,
                # Of its body, which nobody needs: its job stands in its headers.
                on_decode_error=lambda message, _: self._hear(message),
                prefetch_count=_PREFETCH,
            )
            with consumer:
                self._presence.there("consumer")
                while not self._stopping:
                    with contextlib.suppress(TimeoutError):
                        connection.drain_events(timeout=_TURN)
                    self._acknowledge_all()
                self._acknowledge_all()

    def _hear(self, message: Message) -> None:
        headers = cast("dict[str, Any]", cast("Any", message).headers)
        rung = Rung(str(headers.get("id", "")), str(headers.get("task", "")))
        self._received.append((rung, message))
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.some.set)

    def _acknowledge_all(self) -> None:
        while True:
            try:
                message = self._acknowledge.get_nowait()
            except queue.Empty:
                return
            message.ack()
