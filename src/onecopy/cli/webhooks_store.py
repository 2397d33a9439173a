"""The webhooks that a command is about: looked up, replayed, tried out."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click
from msgspec.structs import replace

from onecopy.deliveries import Delivery, Replay, Try
from onecopy.execution.runtime import Runtime
from onecopy.jobs import NotAllowed, new_id
from onecopy.representation import rfc3339
from onecopy.stores import DeliveryFilter
from onecopy.webhooks.config import Webhooks
from onecopy.webhooks.courier import sender_for
from onecopy.webhooks.urls import read_url

_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Looked:
    """A delivery, and the tries that were made."""

    delivery: Delivery
    tries: Sequence[Try]


async def page_of(runtime: Runtime, which: DeliveryFilter) -> list[Looked]:
    """Return the deliveries that are found, the newest first, with their tries."""
    found: list[Looked] = []
    deliveries = await runtime.store.deliveries.find(which)
    for first in range(0, len(deliveries), _AT_ONCE):
        some = deliveries[first : first + _AT_ONCE]
        found += await asyncio.gather(*(_with_tries(runtime, each) for each in some))
    return found


async def _with_tries(runtime: Runtime, delivery: Delivery) -> Looked:
    try:
        return Looked(*await runtime.store.deliveries.get(delivery.id))
    except KeyError:
        return Looked(delivery, [])  # Deleted meanwhile.


async def look_at(runtime: Runtime, webhook: str) -> Looked:
    """Return one delivery.

    Raises:
        click.ClickException: there is none of this id.
    """
    try:
        return Looked(*await runtime.store.deliveries.get(webhook))
    except KeyError:
        raise _unknown(webhook) from None


def _unknown(webhook: str) -> click.ClickException:
    return click.ClickException(f"there is no webhook {webhook}: it may have been deleted since")


async def replay_one(runtime: Runtime, webhook: str) -> None:
    """Have a delivery made again.

    Raises:
        click.ClickException: there is none of this id, or it is being tried.
    """
    try:
        await runtime.store.deliveries.change(webhook, Replay(), now=time.time())
    except KeyError:
        raise _unknown(webhook) from None
    except NotAllowed as error:
        raise click.ClickException(str(error)) from None


async def replay_all(runtime: Runtime, which: DeliveryFilter) -> int:
    """Have all these made again; return how many."""

    async def replay(webhook: str) -> int:
        try:
            await runtime.store.deliveries.change(webhook, Replay(), now=time.time())
        except (KeyError, NotAllowed):
            return 0  # Deleted meanwhile, or somebody else was quicker.
        return 1

    replayed = 0
    for webhooks in await _pages(runtime, replace(which, limit=_AT_ONCE)):
        replayed += sum(await asyncio.gather(*map(replay, webhooks)))
    return replayed


async def _pages(runtime: Runtime, which: DeliveryFilter) -> list[list[str]]:
    """Return the ids of all that are found, in pages, the oldest first: before any is changed."""
    pages: list[list[str]] = []
    while found := await runtime.store.deliveries.find(which):
        pages.append([each.id for each in reversed(found)])
        which = replace(which, older_than=found[-1].id)
    return pages[::-1]


def try_out(url: str) -> Try:
    """Send a webhook that is about nothing, once, and return what came of it.

    Raises CallbackRefused, OptionError, StateFolderError, WebhooksNotInstalled.
    """
    read_url(url)
    now = time.time()
    body: dict[str, object] = {"type": "webhook.test", "timestamp": rfc3339(now), "data": {}}
    delivery = Delivery(
        id=f"msg_{new_id()}",
        job="",
        url=url,
        payload=json.dumps(body),
        created_at=now,
        due_at=now,
    )

    async def send() -> Try:
        sender = await sender_for(Webhooks())()
        try:
            return (await sender.send(delivery)).outcome
        finally:
            await sender.close()

    return asyncio.run(send())
