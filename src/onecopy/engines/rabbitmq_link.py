"""A connection to RabbitMQ that is had again whenever it is lost."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from ssl import SSLCertVerificationError
from typing import Final

from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError
from yarl import URL

from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_wire import WiredConnection

ERRORS: Final = (*CONNECTION_EXCEPTIONS, AMQPError, TimeoutError)
"""What is raised by a broker that is away, or that refuses something."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_CONNECT: Final = 10.0

_logger = logging.getLogger("onecopy.engine")

type Work = Callable[[WiredConnection], Awaitable[None]]


class Link:
    """Connects in the background, and does its work on each connection for as long as it lasts."""

    def __init__(self, url: URL, name: str, presence: Presence, work: Work) -> None:
        """name: what this connection is for, as RabbitMQ lists it."""
        self._url = url.update_query(name=f"onecopy {name}")
        self._name = name
        self._presence = presence
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE

    def start(self) -> None:
        """Begin; may be called again."""
        if self._task is None:
            quieten()
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"onecopy: RabbitMQ, {self._name}"
            )

    async def stop(self) -> None:
        """Disconnect; may be called twice, and before start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._connected()
            except ERRORS as error:
                self._presence.gone(self._name, in_words(error))
            except Exception:
                _logger.exception("%s: what is unexpected", self._presence.broker)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _connected(self) -> None:
        connection = WiredConnection(self._url)
        try:
            await connection.connect(timeout=_CONNECT)
            await self._work_on(connection)
        finally:
            with contextlib.suppress(*ERRORS, RuntimeError):
                async with asyncio.timeout(1):
                    await connection.close()

    async def _work_on(self, connection: WiredConnection) -> None:
        work = asyncio.ensure_future(self._work(connection))
        lost = asyncio.ensure_future(connection.closed())
        try:
            await asyncio.wait((work, lost), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            self._presence.gone(self._name, "the connection is lost")
        finally:
            work.cancel()
            lost.cancel()
            await asyncio.gather(work, lost, return_exceptions=True)

    def works(self) -> None:
        """Hear from the work that the broker does what it is asked to."""
        self._pause = _FIRST_PAUSE
        self._presence.there(self._name)


def in_words(error: BaseException) -> str:
    """Return what an error says, in a line."""
    if isinstance(error, TimeoutError):
        return "it does not answer"
    said = " ".join(str(error).split()) or type(error).__name__
    if "Connection.OpenOk" in said:  # The client says no more.
        return "it refuses the virtual host: there is none of this name, or not for this user"
    if isinstance(error.__cause__ or error, (SSLCertVerificationError, FileNotFoundError)):
        return f"{said}; `?cafile=` names a file of authorities"
    return said


def quieten() -> None:
    """Have the client say nothing of lost connections: `Presence` does, once and in words."""
    for name in ("aiormq.connection", "aiormq.channel"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
