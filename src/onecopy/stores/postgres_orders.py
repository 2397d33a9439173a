"""Jobs of one queue and ordering key in the PostgreSQL store: whose turn it is.

A held job has the status `held` in its row, so that no index of queued jobs has it: a claim costs
the same however many there are.

Whoever accepts, ends or requeues a job of an order holds its lock until it commits, and settles
after it has the lock and has written: so of two at one time, the second sees what the first has
done. Nobody waits for such a lock while rows are locked: `change` tries, and begins anew with it.

A transaction of a user's own may be long, and may see the past: it locks nothing, holds its jobs
and leaves a note. Who looks what is due next settles what is noted, once it is committed.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from onecopy.jobs import Job, Order
from onecopy.stores.postgres_database import Asking, Link, Work
from onecopy.stores.postgres_rows import COLUMNS, columns_of, job_of

_ASKED: Final = "unnest(%b::text[], %b::text[]) AS asked (queue, key)"
_LOCKS: Final = (
    "(SELECT DISTINCT hashtextextended(queue || ' ' || key, 7) AS lock "
    f"FROM {_ASKED} ORDER BY lock) AS locks"
)
"""Everybody locks in this order: so nobody waits for somebody who waits for him."""
_LOCK: Final = f"SELECT pg_advisory_xact_lock(lock) FROM {_LOCKS}"
_TRY: Final = f"SELECT bool_and(pg_try_advisory_xact_lock(lock)) FROM {_LOCKS}"

_ITS: Final = "jobs.queue = asked.queue AND jobs.ordering_key = asked.key AND jobs.status"
_FIRST: Final = f"SELECT min(jobs.seq) FROM jobs WHERE {_ITS}"
_STOP_CLAIMS: Final = (
    f"SELECT later.seq FROM {_ASKED} JOIN jobs AS later ON later.queue = asked.queue "
    "AND later.ordering_key = asked.key AND later.status = 'queued' "
    f"WHERE later.seq > ({_FIRST} = 'held') FOR UPDATE OF later"
)
"""One that is queued and is to be held may be about to be claimed: then it runs."""
_SETTLE: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT queue, key, CASE WHEN NOT EXISTS (SELECT FROM jobs WHERE {_ITS} = 'running')
    THEN least(({_FIRST} = 'queued'), ({_FIRST} = 'held')) END AS first
  FROM {_ASKED}
)
UPDATE jobs SET status = new.status FROM (
  SELECT jobs.seq, 'queued' AS status FROM asked JOIN jobs ON jobs.seq = asked.first
  WHERE jobs.status = 'held'
  UNION ALL
  SELECT jobs.seq, 'held' FROM asked JOIN jobs ON {_ITS} = 'queued'
  WHERE jobs.seq IS DISTINCT FROM asked.first
) AS new WHERE jobs.seq = new.seq
"""
_IN_TURN: Final = f"SELECT {COLUMNS} FROM {_ASKED} JOIN jobs ON {_ITS} = 'queued'"
_NOTE: Final = f"INSERT INTO unsettled (queue, ordering_key) SELECT * FROM {_ASKED} RETURNING queue"
_TAKE_NOTES: Final = (
    "DELETE FROM unsettled WHERE seq = ANY(ARRAY(SELECT seq FROM unsettled "
    "ORDER BY seq LIMIT 1000 FOR UPDATE SKIP LOCKED)) RETURNING queue, ordering_key"
)


def orders_of(jobs: Iterable[Job]) -> set[Order]:
    """Return the orders that jobs are in."""
    return {job.order for job in jobs if job.order is not None}


async def lock(link: Link, orders: Collection[Order]) -> None:
    """Have nobody else settle these orders; waits, so no row is to be locked yet."""
    if orders:
        await link.do(_LOCK, *columns_of(orders))


async def try_lock(link: Link, orders: Collection[Order]) -> bool:
    """Have nobody else settle these orders; return False if somebody else is about to."""
    if not orders:
        return True
    ((locked,),) = await link.rows(_TRY, *columns_of(orders))
    return locked


async def settle(link: Link, orders: Collection[Order]) -> None:
    """Hold all queued jobs of orders but those whose turn it is, as `jobs.in_turn` says."""
    if orders:
        await link.do(_STOP_CLAIMS, *columns_of(orders))
        await link.do(_SETTLE, *columns_of(orders))


async def settled[T](link: Link, orders: Collection[Order], work: Work[T]) -> T:
    """Do something in a transaction that begins with it, with these orders locked and settled."""
    await lock(link, orders)
    done = await work(link)
    await settle(link, orders)
    return done


async def note(asking: Asking, orders: Collection[Order]) -> None:
    """Have orders settled once this transaction is committed."""
    if orders:
        await asking.rows(_NOTE, *columns_of(orders))


async def settle_noted(link: Link) -> None:
    """Settle what transactions of users have noted."""
    orders: set[Order] = {(queue, key) for queue, key in await link.rows(_TAKE_NOTES)}
    await lock(link, orders)
    await settle(link, orders)


async def in_turn(link: Link, orders: Sequence[Order]) -> list[Job]:
    """Return the queued jobs whose turn it is."""
    if not orders:
        return []
    return [job_of(row) for row in await link.rows(_IN_TURN, *columns_of(orders))]
