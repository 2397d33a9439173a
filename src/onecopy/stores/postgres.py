"""A store in a PostgreSQL database, for processes on any number of hosts.

postgres_connections.py  connections of one event loop
postgres_database.py     transactions, tried again where that is right; forks
postgres_groups.py       calls that are served in groups
postgres_schema.py       the schema: made, migrated, checked
postgres_durability.py   whether what it answers is on the disk
postgres_tables.py       its tables, and how each version came out of the one before
postgres_rows.py         jobs and events as rows
postgres_accept.py       accepting: one statement
postgres_joining.py      accepting in a transaction of the user's own
postgres_import.py       what another store has, put in
postgres_orders.py       whose turn it is, of the jobs of an ordering key
postgres_claims.py       which jobs are to be claimed next: one statement
postgres_queries.py      what else is asked of the tables
postgres_figures.py      counts and times, kept with each change
postgres_deliveries.py   webhooks on their way
"""

import asyncio
import logging
import weakref
from collections.abc import Mapping, Sequence
from typing import Final

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import Change, Event, Job, NotAllowed, Order
from onecopy.postgres_address import PostgresAddress
from onecopy.postgres_connection import Connection
from onecopy.stores import postgres_accept as accepting
from onecopy.stores import postgres_import as importing
from onecopy.stores import postgres_joining as joining
from onecopy.stores import postgres_queries as queries
from onecopy.stores.base import Filter, Outdated, Record, Stats
from onecopy.stores.postgres_claims import next_due
from onecopy.stores.postgres_database import Database
from onecopy.stores.postgres_deliveries import PostgresDeliveries
from onecopy.stores.postgres_durability import concerns
from onecopy.stores.postgres_figures import fold, stats
from onecopy.stores.postgres_groups import Groups
from onecopy.stores.postgres_orders import in_turn, orders_of, settle_noted, settled
from onecopy.stores.postgres_rows import events
from onecopy.stores.postgres_schema import Newer, prepare

type _Changes = tuple[Sequence[tuple[str, Change]], float]
type _Granted = list[Job] | Exception

_logger = logging.getLogger("onecopy.store")
_PRUNED_AT_ONCE: Final = 100


class PostgresStore:
    """Jobs in PostgreSQL; the Store protocol says what each method does."""

    def __init__(self, address: PostgresAddress) -> None:
        self._database = Database(address, self._prepare)
        self._opened = False
        self._deliveries = PostgresDeliveries(self._database)
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop]
        self._of_loops = weakref.WeakKeyDictionary()

    @property
    def deliveries(self) -> PostgresDeliveries:
        """The webhooks of its jobs."""
        return self._deliveries

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises Unavailable."""
        self._opened = False
        await self._database.open()
        self._opened = True
        for concern in await self.concerns():
            _logger.warning("the store %s: its server %s", self._database.address.name, concern)

    async def _prepare(self, connection: Connection) -> None:
        try:
            await prepare(connection, self._database.address)
        except Outdated:
            if not self._opened:
                raise

    async def concerns(self) -> list[str]:
        """Return in words what could lose jobs that its server has accepted."""
        return await self._database.read(concerns)

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        await self._database.close()

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none."""
        wish = accepting.Wish(jobs, max_queued)
        orders = orders_of(jobs)
        if not accepting.is_simple(wish):
            return await self._database.write(
                lambda link: settled(link, orders, lambda link: accepting.accept(link, wish))
            )
        here = self._here()
        return await (here.ordered if orders else here.accepts).ask(wish)

    async def accept_in(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Record jobs in a transaction of the caller's. Raises CannotJoin."""
        return await joining.accept_in(connection, self._database.address, jobs, max_queued)

    def accept_in_sync(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Record jobs in a transaction of the caller's, by a connection that blocks."""
        return joining.accept_in_sync(connection, self._database.address, jobs, max_queued)

    async def put_jobs(self, records: Sequence[Record]) -> int:
        """Record jobs as another store has them."""
        return await self._database.write(lambda link: importing.put_jobs(link, records))

    async def put_deliveries(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries as another store has them."""
        return await self._database.write(lambda link: importing.put_deliveries(link, records))

    async def claim(
        self,
        worker: str,
        queues: Sequence[str],
        *,
        now: float,
        until: float,
        limit: int = 1,
        without: Sequence[str] = (),
    ) -> list[Job]:
        """Begin attempts of due jobs."""
        return await self._database.write(
            lambda link: queries.claim(
                link, worker, queues, now=now, until=until, limit=limit, without=without
            )
        )

    async def change(
        self, changes: Sequence[tuple[str, Change]], *, now: float
    ) -> list[Job | KeyError | NotAllowed]:
        """Apply changes, in this order."""
        return await self._here().changes.ask((changes, now)) if changes else []

    async def in_turn(self, orders: Sequence[Order]) -> list[Job]:
        """Return the queued jobs whose turn it is in these orders."""
        return await self._database.read(lambda link: in_turn(link, orders))

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return the jobs that exist, in no order."""
        which = "WHERE id = ANY(%b::text[])"
        return await self._database.read(lambda link: queries.select(link, which, [*jobs]))

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        """Return the events of jobs with numbers over those given, each job's in order."""
        return await self._database.read(lambda link: events(link, after, limit))

    async def extend(self, workers: Sequence[str], *, until: float) -> None:
        """Lengthen the leases of all running attempts of these workers."""
        await self._database.read(lambda link: queries.extend(link, workers, until))

    async def overdue(self, *, now: float, limit: int = 100) -> list[Job]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""
        return await self._database.read(lambda link: queries.overdue(link, now, limit))

    async def running(self, worker: str) -> list[Job]:
        """Return the jobs that a worker has attempts of."""
        which = "WHERE status = 'running' AND worker = %b::text"
        return await self._database.read(lambda link: queries.select(link, which, worker))

    async def next_due(self, queues: Sequence[str], *, without: Sequence[str] = ()) -> float | None:
        """Return when the next queued job is due, or was; None if none."""
        while True:
            at, unsettled = await self._database.read(lambda link: next_due(link, queues, without))
            if not unsettled:
                return at
            await self._database.write(settle_noted)

    async def due(
        self, queues: Sequence[str], *, now: float, limit: int = 1, without: Sequence[str] = ()
    ) -> list[Job]:
        """Return the jobs that `claim` would begin."""
        return await self._database.read(
            lambda link: queries.would_claim(link, queues, now=now, limit=limit, without=without)
        )

    async def announce(self, address: str, *, until: float) -> None:
        """Record where workers of a host take calls."""
        await self._database.read(lambda link: queries.announce(link, address, until))

    async def announced(self, *, now: float) -> list[str]:
        """Return the addresses whose time is not over."""
        return await self._database.read(lambda link: queries.announced(link, now))

    async def find(self, which: Filter) -> list[Job]:
        """Return jobs, the newest first."""
        return await self._database.read(lambda link: queries.find(link, which))

    async def stats(self) -> list[Stats]:
        """Return figures by queue and task."""
        return await self._database.read(stats)

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final jobs that have been kept long enough: a few at a time, others in between."""
        which = "WHERE remove_at <= %b::float8 ORDER BY remove_at LIMIT %b::bigint"
        await self._database.write(fold)
        await self._database.write(settle_noted)
        pruned = 0
        while pruned < limit:
            step = min(_PRUNED_AT_ONCE, limit - pruned)
            count = await self._delete(which, now, step)
            pruned += count
            if count < step:
                break
        return pruned

    async def forget(self, jobs: Sequence[str]) -> int:
        """Delete those of these jobs that are final: a few at a time, others in between."""
        which = "WHERE id = ANY(%b::text[]) AND remove_at IS NOT NULL"
        forgotten = 0
        for first in range(0, len(jobs), _PRUNED_AT_ONCE):
            some = [*jobs[first : first + _PRUNED_AT_ONCE]]
            forgotten += await self._delete(which, some)
        return forgotten

    async def _delete(self, which: str, *values: object) -> int:
        return await self._database.write(lambda link: queries.delete(link, which, *values))

    def _here(self) -> "_OfLoop":
        loop = asyncio.get_running_loop()
        here = self._of_loops.get(loop)
        if here is None:
            here = self._of_loops[loop] = _OfLoop(self._database)
        return here


class _OfLoop:
    """What one event loop asks for together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.accepts = Groups[accepting.Wish, list[Job]](self._accept, at_once=2)
        self.ordered = Groups[accepting.Wish, list[Job]](self._accept_ordered, at_once=1)
        self.changes = Groups[_Changes, list[queries.Answer]](self._change, at_once=1)

    async def _accept(self, wishes: Sequence[accepting.Wish]) -> Sequence[_Granted]:
        return await self._database.read(lambda link: accepting.accept_simple(link, wishes))

    async def _accept_ordered(self, wishes: Sequence[accepting.Wish]) -> Sequence[_Granted]:
        orders = orders_of(job for wish in wishes for job in wish.jobs)
        return await self._database.write(
            lambda link: settled(link, orders, lambda link: accepting.accept_simple(link, wishes))
        )

    async def _change(self, groups: Sequence[_Changes]) -> list[list[queries.Answer] | Exception]:
        orders: set[Order] = set()
        answers = await self._database.write(lambda link: queries.change(link, groups, orders))
        address = self._database.address
        return [each.of(address) if isinstance(each, Newer) else each for each in answers]
