"""The Deliveries protocol: webhooks on their way, which a store records with the outcomes of jobs.

`onecopy.testing.StoreContract` is its proof. In one step with a change that makes a job final, a
store records `onecopy.deliveries.of` that job: one delivery for each of its callbacks. So no
outcome is on record whose webhook is not.

Every method is atomic, and durable once it returns. A store applies changes with
`onecopy.deliveries.apply`. Times are seconds since 1970; the caller says what time it is.

A URL is *disabled* from when a try of one of its deliveries was answered 410: its deliveries that
are pending are disabled at once, and those that are recorded later from the start; until one of
them, or a later one, is replayed.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from onecopy.deliveries import Change, Delivery, Status, Try


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """Which deliveries to find: all conditions hold; None and empty hold for every one."""

    statuses: Sequence[Status] = ()
    job: str | None = None
    url: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    limit: int = 100
    older_than: str | None = None
    """Only those listed after this one (its id): the next page."""


class Deliveries(Protocol):
    """The deliveries of a store, from when that is open until it is closed. Raises Unavailable.

    Final deliveries are forgotten together with their job, pending ones are not: they are
    promised. One whose job is gone already is kept for its own time, see `prune`.
    """

    async def due(self, *, now: float, limit: int = 1000) -> list[str]:
        """Return the receivers (`Delivery.receiver`) that something is due for.

        In the order of how long it has been due. The cost grows with the receivers that have
        pending deliveries, and not with the number of these: one may have a million.
        """
        ...

    async def take(self, counts: Mapping[str, int], *, now: float, until: float) -> list[Delivery]:
        """Take due deliveries: of each receiver as many as `counts` says, the longest due first.

        Each gets a token of its own (`deliveries.Take`), and is nobody else's until `until`.
        """
        ...

    async def change(self, delivery: str, change: Change, *, now: float) -> Delivery:
        """Apply a change; with `Tried`, record the try.

        Raises KeyError for an unknown delivery, NotAllowed as `deliveries.apply` does.
        """
        ...

    async def get(self, delivery: str) -> tuple[Delivery, list[Try]]:
        """Return a delivery and its tries, the first first. Raises KeyError for an unknown one."""
        ...

    async def find(self, which: DeliveryFilter) -> list[Delivery]:
        """Return deliveries, the newest first. Raises KeyError if `older_than` is gone."""
        ...

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final deliveries that were kept for their time; return how many."""
        ...
