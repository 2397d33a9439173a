"""Where the outcome of a job is wanted by whoever has sent the message, and how it gets there.

A wish for a reply travels with the job as one of its callbacks, in a URL of our own, so that the
outcome and what is to be told of it are recorded in one step, and told until it has arrived::

    rabbitmq://orders/the-reply-queue?correlation_id=7
    kafka://orders/the-reply-topic?correlation_id=7

The host is the subscription: where its broker is, and its password, are not in the store.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from onecopy.deliveries import GONE, Delivery, Try
from onecopy.subscriptions.subscription import Broker, Subscription
from onecopy.webhooks.courier import SenderSource, Sends
from onecopy.webhooks.tried import Tried

_OK: Final = 200
_LONGEST_WORDS: Final = 300


class Nobody(Exception):
    """The queue or topic for replies is not there any more."""


class Wish(NamedTuple):
    """Where a reply is wanted, and what tells its receiver which message it answers."""

    to: str
    correlation: str | None


class Reply(NamedTuple):
    """A reply as it is sent: a CloudEvent in binary mode; its data are the job."""

    to: str
    correlation: str | None
    attributes: dict[str, str]
    data: bytes


class Replier(Protocol):
    """Sends replies to one broker."""

    async def send(self, reply: Reply) -> None:
        """Send a reply; the broker has it once this returns. Raises Nobody, and what it likes."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


def url_of(subscription: Subscription, wish: Wish) -> str:
    """Return a wish as a callback of a job."""
    query = (
        "" if wish.correlation is None else "?" + urlencode({"correlation_id": wish.correlation})
    )
    name = quote(subscription.name, safe="")
    return f"{subscription.broker}://{name}/{quote(wish.to, safe='')}{query}"


def reply_of(delivery: Delivery) -> Reply:
    """Return what a delivery is to tell."""
    parts = urlsplit(delivery.url)
    payload: dict[str, Any] = json.loads(delivery.payload)
    attributes = {
        "specversion": "1.0",
        "id": delivery.id,
        "source": "/onecopy",
        "type": f"onecopy.{payload['type']}",
        "subject": str(payload["data"]["task"]),
        "time": str(payload["timestamp"]),
    }
    correlation = parse_qs(parts.query).get("correlation_id", [None])[0]
    data = json.dumps(payload["data"]).encode()
    return Reply(unquote(parts.path[1:]), correlation, attributes, data)


class Replies:
    """Sends replies by brokers, and webhooks by whoever sent them before."""

    def __init__(self, subscriptions: Iterable[Subscription], webhooks: SenderSource) -> None:
        self._of = {(str(each.broker), each.name): each for each in subscriptions}
        self._source = webhooks
        self._webhooks: Sends | None = None
        self._repliers: dict[tuple[str, str], Replier] = {}

    async def send(self, delivery: Delivery) -> Tried:
        """Try to deliver once; whatever happens is what came of it."""
        parts = urlsplit(delivery.url)
        if parts.scheme in ("http", "https"):
            self._webhooks = self._webhooks or await self._source()
            return await self._webhooks.send(delivery)
        at, began = time.time(), time.monotonic()
        status, error = await self._tried(delivery, (parts.scheme, unquote(parts.netloc)))
        return Tried(Try(at, status, error, round(time.monotonic() - began, 6)))

    async def _tried(
        self, delivery: Delivery, key: tuple[str, str]
    ) -> tuple[int | None, str | None]:
        try:
            await self._replier(key).send(reply_of(delivery))
        except Nobody as error:
            return GONE, str(error)
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"[:_LONGEST_WORDS]
        return _OK, None

    def _replier(self, key: tuple[str, str]) -> Replier:
        replier = self._repliers.get(key)
        if replier is None:
            subscription = self._of.get(key)
            url = None if subscription is None else subscription.address()
            if subscription is None or url is None:
                raise LookupError(f"nothing here subscribes to {':'.join(key)}")
            replier = self._repliers[key] = _KINDS[subscription.broker](url)
        return replier

    async def close(self) -> None:
        """Disconnect from all."""
        for replier in self._repliers.values():
            await replier.close()
        self._repliers.clear()
        if self._webhooks is not None:
            await self._webhooks.close()
            self._webhooks = None


def with_replies(subscriptions: Iterable[Subscription], webhooks: SenderSource) -> SenderSource:
    """Return what makes a sender of webhooks and of replies."""
    replies = Replies(subscriptions, webhooks)

    async def source() -> Sends:
        return replies

    return source


def _rabbitmq(url: str) -> Replier:
    from onecopy.subscriptions.rabbitmq_replies import QueueReplier

    return QueueReplier(url)


def _kafka(url: str) -> Replier:
    from onecopy.subscriptions.kafka_replies import TopicReplier

    return TopicReplier(url)


_KINDS: Final[dict[Broker, Callable[[str], Replier]]] = {"rabbitmq": _rabbitmq, "kafka": _kafka}
