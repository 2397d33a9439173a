"""Which jobs are to be claimed next, from the index of queued jobs, in one statement.

Each look goes to the first of a priority: a million jobs that are not due yet cost as one does.
What others are about to claim is passed over, not waited for.
"""

from collections.abc import Sequence
from typing import Final

from onecopy.stores.postgres_database import Link, Row
from onecopy.stores.postgres_rows import COLUMNS

_QUEUES: Final = (
    "asked AS (SELECT * FROM unnest(%b::text[]) WITH ORDINALITY AS asked (queue, place))"
)
_LEVELS: Final = """
levels AS (
  SELECT place, queue, (
    SELECT max(priority) FROM jobs WHERE status = 'queued' AND jobs.queue = asked.queue
  ) AS priority FROM asked
  UNION ALL
  SELECT place, queue, (
    SELECT max(priority) FROM jobs
    WHERE status = 'queued' AND jobs.queue = levels.queue AND jobs.priority < levels.priority
  ) FROM levels WHERE priority IS NOT NULL
)
"""
"""The priorities that queued jobs of the queues have."""
_TASKS: Final = """
tasks AS (
  SELECT place, queue, (
    SELECT min(task) FROM jobs WHERE status = 'queued' AND jobs.queue = asked.queue
  ) AS task FROM asked
  UNION ALL
  SELECT place, queue, (
    SELECT min(task) FROM jobs
    WHERE status = 'queued' AND jobs.queue = tasks.queue AND jobs.task > tasks.task
  ) FROM tasks WHERE task IS NOT NULL
),
levels AS (
  SELECT place, queue, task, (
    SELECT max(priority) FROM jobs
    WHERE status = 'queued' AND jobs.queue = tasks.queue AND jobs.task = tasks.task
  ) AS priority FROM tasks WHERE task <> ALL(%b::text[])
  UNION ALL
  SELECT place, queue, task, (
    SELECT max(priority) FROM jobs
    WHERE status = 'queued' AND jobs.queue = levels.queue AND jobs.task = levels.task
      AND jobs.priority < levels.priority
  ) FROM levels WHERE priority IS NOT NULL
)
"""
"""The priorities that queued jobs of the queues have, by task, without some tasks."""
_OF_LEVEL: Final = (
    "status = 'queued' AND jobs.queue = level.queue AND jobs.priority = level.priority"
)
_DUE: Final = "due_at <= %b::float8 AND (expires_at IS NULL OR expires_at > %b::float8)"

_CLAIM: Final = f"""
WITH RECURSIVE {_QUEUES}, {_LEVELS}
SELECT job.* FROM (
  SELECT * FROM levels WHERE priority IS NOT NULL ORDER BY place, priority DESC
) AS level CROSS JOIN LATERAL (
  SELECT {COLUMNS} FROM jobs WHERE {_OF_LEVEL} AND {_DUE}
  ORDER BY due_at, seq LIMIT %b::bigint FOR UPDATE SKIP LOCKED
) AS job LIMIT %b::bigint
"""
_CLAIM_WITHOUT: Final = f"""
WITH RECURSIVE {_QUEUES}, {_TASKS},
first AS (
  SELECT level.place, level.priority, job.due_at, job.seq FROM (
    SELECT * FROM levels WHERE priority IS NOT NULL
  ) AS level CROSS JOIN LATERAL (
    SELECT due_at, seq FROM jobs WHERE {_OF_LEVEL} AND jobs.task = level.task AND {_DUE}
    ORDER BY due_at, seq LIMIT %b::bigint
  ) AS job ORDER BY place, priority DESC, due_at, seq
)
SELECT job.* FROM first CROSS JOIN LATERAL (
  SELECT {COLUMNS} FROM jobs WHERE jobs.seq = first.seq AND status = 'queued'
  FOR UPDATE SKIP LOCKED
) AS job LIMIT %b::bigint
"""
_LOCK: Final = "FOR UPDATE SKIP LOCKED"
_KEEP_ORDER: Final = "OFFSET 0"
"""In place of the lock: the planner takes either for a reason to leave a subquery as it is."""
_AHEAD: Final = 32
"""How many jobs of a task others may be claiming at this moment."""

_FIRST_DUE: Final = f"SELECT min(due_at) FROM jobs WHERE {_OF_LEVEL}"
_NOTED: Final = "(SELECT min(seq) FROM unsettled) IS NOT NULL"
_NEXT: Final = f"""
WITH RECURSIVE {_QUEUES}, {_LEVELS}
SELECT min(({_FIRST_DUE})), {_NOTED} FROM levels AS level WHERE priority IS NOT NULL
"""
_NEXT_WITHOUT: Final = f"""
WITH RECURSIVE {_QUEUES}, {_TASKS}
SELECT min(({_FIRST_DUE} AND jobs.task = level.task)), {_NOTED} FROM levels AS level
WHERE priority IS NOT NULL
"""
OLDEST: Final = """
WITH RECURSIVE level AS (
  SELECT (
    SELECT max(priority) FROM jobs
    WHERE status = 'queued' AND jobs.queue = figures.queue AND jobs.task = figures.task
  ) AS priority
  UNION ALL
  SELECT (
    SELECT max(priority) FROM jobs
    WHERE status = 'queued' AND jobs.queue = figures.queue AND jobs.task = figures.task
      AND jobs.priority < level.priority
  ) FROM level WHERE priority IS NOT NULL
)
SELECT min((
  SELECT min(due_at) FROM jobs
  WHERE status = 'queued' AND jobs.queue = figures.queue AND jobs.task = figures.task
    AND jobs.priority = level.priority
)) FROM level WHERE priority IS NOT NULL
"""
"""When the first queued job of a queue and task of `figures` is due."""


async def due(
    link: Link, queues: Sequence[str], now: float, limit: int, without: Sequence[str]
) -> list[Row]:
    """Lock the first due jobs, of all tasks or `without` some."""
    if without:
        values = ([*queues], [*without], now, now, limit + _AHEAD, limit)
        return await link.lock(_CLAIM_WITHOUT, *values)
    return await link.lock(_CLAIM, [*queues], now, now, limit, limit)


async def look(
    link: Link, queues: Sequence[str], now: float, limit: int, without: Sequence[str]
) -> list[Row]:
    """Return what `due` would lock, and lock nothing."""
    if without:
        values = ([*queues], [*without], now, now, limit, limit)
        return await link.rows(_CLAIM_WITHOUT.replace(_LOCK, _KEEP_ORDER), *values)
    return await link.rows(_CLAIM.replace(_LOCK, _KEEP_ORDER), [*queues], now, now, limit, limit)


async def next_due(
    link: Link, queues: Sequence[str], without: Sequence[str]
) -> tuple[float | None, bool]:
    """Return when the first queued job of some queues is due, `without` some tasks'.

    And whether there are orders to settle before that is certain.
    """
    if without:
        (row,) = await link.rows(_NEXT_WITHOUT, [*queues], [*without])
    else:
        (row,) = await link.rows(_NEXT, [*queues])
    return row[0], row[1]
