"""All subscriptions of a process: each job worker takes messages, and any number may."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from onecopy.errors import OptionError
from onecopy.subscriptions.subscription import Subscription
from onecopy.subscriptions.taking import Taking

_logger = logging.getLogger("onecopy.subscriptions")


class Subscriber(Protocol):
    """Takes the messages of one subscription."""

    async def run(self) -> None:
        """Take messages until cancelled."""
        ...


async def run_all(subscriptions: Iterable[Subscription]) -> None:
    """Take the messages of all of these until cancelled; what cannot be had is said."""
    running = [each.run() for each in map(_subscriber, subscriptions) if each is not None]
    await asyncio.gather(*running)


def _subscriber(subscription: Subscription) -> Subscriber | None:
    url = subscription.address()
    if url is None:
        _logger.error(
            "%s is not subscribed to: name its broker with %s", subscription, subscription.variable
        )
        return None
    try:
        return _of_broker(subscription, url)
    except OptionError as error:
        _logger.error("%s is not subscribed to: %s", subscription, error.reason)
        return None


def _of_broker(subscription: Subscription, url: str) -> Subscriber:
    taking = Taking(subscription)
    try:
        if subscription.broker == "rabbitmq":
            from onecopy.subscriptions.rabbitmq import QueueSubscriber

            return QueueSubscriber(url, subscription.name, taking)
        from onecopy.subscriptions.kafka import TopicSubscriber

        return TopicSubscriber(url, subscription.name, subscription.task.name, taking)
    except ModuleNotFoundError as error:
        extra = subscription.broker
        reason = f"it needs {error.name}: pip install 'onecopy[{extra}]'"
        raise OptionError("subscribe", reason) from error
