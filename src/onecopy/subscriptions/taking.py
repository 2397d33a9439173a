"""Makes a job of a message, once: durable in the store before the broker may forget it."""

import asyncio
import hashlib
import logging
import re
from typing import Any, Final

from msgspec.structs import replace
from pydantic_core import to_json

from onecopy.errors import (
    ArgumentsInvalid,
    IdempotencyMismatch,
    OneCopyError,
    QueueIsFull,
    StoreUnavailable,
)
from onecopy.subscriptions.reading import Delivered, Incoming, Refused, read
from onecopy.subscriptions.replies import Wish, url_of
from onecopy.subscriptions.subscription import Subscription
from onecopy.tasks.options import SendingOptions

_AGAIN: Final = 1.0
"""Seconds after which a message is offered again that could not be accepted now."""
_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_logger = logging.getLogger("onecopy.subscriptions")


class Taking:
    """Takes the messages of one subscription."""

    def __init__(self, subscription: Subscription) -> None:
        self._of = subscription
        self._waits = False

    async def take(self, message: Delivered) -> None:
        """Make a job of a message; it is durable once this returns. Raises Refused.

        While the store is away, or the queue is full, it waits: nothing more is read meanwhile
        than a broker has sent already.
        """
        incoming = read(message)
        if not self._is_wanted(incoming.data):
            return
        task = self._of.task.options(**self._options(incoming))
        try:
            job = task.sender.job(task.signature.normalise(to_json(incoming.data)))
        except ArgumentsInvalid as error:
            raise Refused(str(error)) from None
        if message.reply_to:
            wish = Wish(message.reply_to, message.correlation)
            job = replace(job, callbacks=(*job.callbacks, url_of(self._of, wish)))
        while not await self._accepted(task.sender.accept([job])):  # noqa: ASYNC110  asks again
            await asyncio.sleep(_AGAIN)

    async def _accepted(self, accepting: Any) -> bool:  # noqa: ANN401  a coroutine
        try:
            await accepting
        except (QueueIsFull, StoreUnavailable) as error:
            if not self._waits:
                self._waits = True
                _logger.warning("%s waits: %s", self._of, error)
            return False
        except IdempotencyMismatch:
            raise Refused("another message had the same id, and other data") from None
        except OneCopyError as error:
            raise Refused(str(error)) from error
        if self._waits:
            self._waits = False
            _logger.warning("%s goes on", self._of)
        return True

    def _is_wanted(self, data: Any) -> bool:  # noqa: ANN401
        if self._of.where is None:
            return True
        try:
            return bool(self._of.where(data))
        except Exception as error:
            raise Refused(f"`where` has raised {type(error).__name__}: {error}") from error

    def _options(self, incoming: Incoming) -> SendingOptions:
        options = SendingOptions()
        if (told := self._told(incoming)) is not None:
            # A digest, because a key of ours is short and printable.
            digest = hashlib.sha256(f"{self._of}\n{told}".encode()).hexdigest()
            options["idempotency_key"] = f"{self._of.broker}-{digest}"
        if incoming.traceparent is not None and _TRACE.fullmatch(incoming.traceparent):
            options["traceparent"] = incoming.traceparent
        return options

    def _told(self, incoming: Incoming) -> str | None:
        if self._of.key is None:
            return incoming.id
        try:
            return str(self._of.key(incoming.data))
        except Exception as error:
            raise Refused(f"`key` has raised {type(error).__name__}: {error}") from error
