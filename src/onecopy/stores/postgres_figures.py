"""Counts and times by queue and task in the PostgreSQL store."""

from collections.abc import Sequence
from typing import Final

from onecopy.stores.base import Stats
from onecopy.stores.figures import SUMS, Sums, stats_of
from onecopy.stores.postgres_claims import OLDEST
from onecopy.stores.postgres_database import Asking, Link
from onecopy.stores.postgres_rows import columns_of

_ADD: Final = (
    f"INSERT INTO figures (queue, task, {', '.join(SUMS)}) "
    f"SELECT * FROM unnest(%b::text[], %b::text[]{', %b::bigint[]' * len(SUMS)}) "
    "ON CONFLICT (queue, task, slot) DO UPDATE SET "
    + ", ".join(f"{name} = figures.{name} + excluded.{name}" for name in SUMS)
)
_STATS: Final = (
    f"SELECT queue, task, {', '.join(f'sum({name})::bigint' for name in SUMS)}, "
    f"CASE WHEN sum(queued) > 0 THEN ({OLDEST}) END "
    "FROM figures GROUP BY queue, task ORDER BY queue, task"
)
_SUMS: Final = ", ".join(f"sum({name})::bigint AS {name}" for name in SUMS)
_FOLD: Final = (
    "WITH own AS (SELECT ctid FROM figures WHERE slot < 0 FOR UPDATE SKIP LOCKED), "
    "gone AS (DELETE FROM figures WHERE ctid = ANY(ARRAY(SELECT ctid FROM own)) RETURNING *) "
    f"INSERT INTO figures (queue, task, {', '.join(SUMS)}) "
    f"SELECT queue, task, {_SUMS} FROM gone GROUP BY queue, task ORDER BY queue, task "
    "ON CONFLICT (queue, task, slot) DO UPDATE SET "
    + ", ".join(f"{name} = figures.{name} + excluded.{name}" for name in SUMS)
)
_QUEUED: Final = (
    "SELECT queue, sum(queued)::bigint FROM figures WHERE queue = ANY(%b::text[]) GROUP BY queue"
)


async def add(link: Link, sums: Sums) -> None:
    """Write what changes have added; the last of a transaction: others wait for it."""
    if rows := sums.rows():
        await link.do(_ADD, *columns_of(rows))


async def fold(link: Link) -> None:
    """Add what came by transactions of users to what others write."""
    await link.do(_FOLD)


async def queued(link: Asking, queues: Sequence[str]) -> dict[str, int]:
    """Return how many jobs are queued in some queues."""
    return dict(await link.rows(_QUEUED, [*queues]))


async def stats(link: Link) -> list[Stats]:
    """Return the figures of each queue and task that has jobs; reads few jobs."""
    found = [
        stats_of(queue, task, sums, oldest)
        for queue, task, *sums, oldest in await link.rows(_STATS)
    ]
    return [each for each in found if each is not None]
