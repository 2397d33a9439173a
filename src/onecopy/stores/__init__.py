"""Where jobs and their events are recorded: the one truth about a job.

base.py         the Store protocol
deliveries.py   the Deliveries protocol: what a store knows of webhooks
packing.py      jobs and events as single values, for stores with columns
lanes.py        threads that serve event loops in groups
figures.py      counts and times, for stores that keep them with each change
sqlite.py       one file, for all processes of a host
postgres.py     a database, for any number of hosts
redis.py        a Redis server, for all processes that reach it
memory.py       in one process, for tests
urls.py         a store by its URL
"""

from onecopy.stores.base import (
    RING_SOON,
    CannotJoin,
    Concerned,
    Filter,
    IdempotencyConflict,
    Importing,
    Outdated,
    QueueFull,
    Record,
    Speaking,
    Stats,
    Store,
    Unavailable,
    change_one,
    joinable,
)
from onecopy.stores.deliveries import Deliveries, DeliveryFilter

__all__ = [
    "RING_SOON",
    "CannotJoin",
    "Concerned",
    "Deliveries",
    "DeliveryFilter",
    "Filter",
    "IdempotencyConflict",
    "Importing",
    "Outdated",
    "QueueFull",
    "Record",
    "Speaking",
    "Stats",
    "Store",
    "Unavailable",
    "change_one",
    "joinable",
]
