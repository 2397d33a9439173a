"""The tables of the SQLite store, and how each version of them came out of the one before."""

import json
from typing import Any, Final

from onecopy.jobs import Failure, Job, Lease, Progress
from onecopy.stores.packing import pack_job

_FIRST: Final = """
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,         -- the order of acceptance
  id TEXT NOT NULL UNIQUE,
  task TEXT NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  status TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  created_at REAL NOT NULL,
  due_at REAL NOT NULL,
  expires_at REAL,
  started_at REAL,
  finished_at REAL,
  timeout REAL,
  keep REAL NOT NULL,
  cancelling INTEGER NOT NULL,
  token TEXT,
  worker TEXT,
  lease_until REAL,
  progress TEXT,
  failure TEXT,
  traceparent TEXT,
  idempotency_key TEXT,
  fingerprint TEXT,
  version INTEGER NOT NULL,
  remove_at REAL,                  -- NULL until it is final
  result TEXT
);
-- Apart from what changes: an update writes the whole row anew, and arguments may be megabytes.
CREATE TABLE arguments (job INTEGER PRIMARY KEY, arguments TEXT NOT NULL);
CREATE TABLE events (
  job INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (job, number)
) WITHOUT ROWID;
-- What would take a count of all jobs, kept with each change.
CREATE TABLE figures (
  queue TEXT NOT NULL,
  task TEXT NOT NULL,
  queued INTEGER NOT NULL,
  running INTEGER NOT NULL,
  succeeded INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  ended INTEGER NOT NULL,          -- final jobs whose last attempt was begun
  waited INTEGER NOT NULL,         -- their time from due to begun, in microseconds
  ran INTEGER NOT NULL,            -- their time from begun to final, in microseconds
  PRIMARY KEY (queue, task)
) WITHOUT ROWID;
CREATE UNIQUE INDEX jobs_by_key ON jobs (task, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_to_claim ON jobs (queue, priority DESC, due_at) WHERE status = 'queued';
CREATE INDEX jobs_to_expire ON jobs (expires_at)
  WHERE status = 'queued' AND expires_at IS NOT NULL;
CREATE INDEX jobs_running ON jobs (worker) WHERE status = 'running';
CREATE INDEX jobs_to_remove ON jobs (remove_at) WHERE remove_at IS NOT NULL;
"""

_CALLBACKS: Final = "ALTER TABLE jobs ADD COLUMN callbacks TEXT;"  # a JSON array, or NULL

_DELIVERIES: Final = """
CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY,         -- the order of their recording
  id TEXT NOT NULL UNIQUE,
  job TEXT NOT NULL,               -- its id: a pending delivery may outlive its job
  url TEXT NOT NULL,
  receiver TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at REAL NOT NULL,
  keep REAL NOT NULL,
  status TEXT NOT NULL,
  tries INTEGER NOT NULL,
  remaining INTEGER NOT NULL,
  due_at REAL,
  token TEXT,
  finished_at REAL,
  remove_at REAL                   -- NULL until it is final
);
CREATE TABLE tries (
  delivery INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at REAL NOT NULL,
  status_code INTEGER,
  error TEXT,
  seconds REAL NOT NULL,
  PRIMARY KEY (delivery, number)
) WITHOUT ROWID;
CREATE TABLE disabled_urls (url TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (receiver, due_at) WHERE status = 'pending';
CREATE INDEX deliveries_pending_to ON deliveries (url) WHERE status = 'pending';
CREATE INDEX deliveries_of_job ON deliveries (job);
CREATE INDEX deliveries_to_remove ON deliveries (remove_at) WHERE remove_at IS NOT NULL;
"""

_PACKED: Final = """
CREATE TABLE packed_jobs (
  seq INTEGER PRIMARY KEY,         -- the order of acceptance
  id TEXT NOT NULL UNIQUE,
  task TEXT NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  status TEXT NOT NULL,
  created_at REAL NOT NULL,
  due_at REAL NOT NULL,
  expires_at REAL,
  worker TEXT,
  lease_until REAL,
  remove_at REAL,                  -- NULL until it is final
  idempotency_key TEXT,
  job BLOB NOT NULL                -- all of it; the columns before are there to be searched
);
-- Long texts, apart from what changes: an update writes the whole row anew.
CREATE TABLE texts (
  job INTEGER NOT NULL,
  name TEXT NOT NULL,              -- arguments, result
  text TEXT NOT NULL,
  PRIMARY KEY (job, name)
) WITHOUT ROWID;
INSERT INTO texts SELECT job, 'arguments', arguments FROM arguments WHERE length(arguments) > 1000;
INSERT INTO texts SELECT seq, 'result', result FROM jobs WHERE length(result) > 1000;
INSERT INTO packed_jobs
  SELECT seq, id, task, queue, priority, status, created_at, due_at, expires_at, worker,
    lease_until, remove_at, idempotency_key,
    packed(CASE WHEN length(arguments.arguments) > 1000 THEN '' ELSE arguments.arguments END,
      CASE WHEN length(result) > 1000 THEN '' ELSE result END, id, task, queue, priority,
      max_attempts, created_at, timeout, keep, traceparent, idempotency_key, fingerprint,
      callbacks, status, attempt, due_at, expires_at, started_at, finished_at, cancelling, token,
      worker, lease_until, progress, failure, version)
  FROM jobs CROSS JOIN arguments ON arguments.job = jobs.seq;
DROP TABLE arguments;
DROP TABLE jobs;
ALTER TABLE packed_jobs RENAME TO jobs;
CREATE UNIQUE INDEX jobs_by_key ON jobs (task, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- What a claim looks at stands in the index: many that have expired are passed over in it.
CREATE INDEX jobs_to_claim ON jobs (queue, priority DESC, due_at, seq, expires_at)
  WHERE status = 'queued';
CREATE INDEX jobs_of_task ON jobs (queue, task, priority DESC, due_at, seq, expires_at)
  WHERE status = 'queued';
CREATE INDEX jobs_to_expire ON jobs (expires_at)
  WHERE status = 'queued' AND expires_at IS NOT NULL;
CREATE INDEX jobs_running ON jobs (worker) WHERE status = 'running';
CREATE INDEX jobs_to_remove ON jobs (remove_at) WHERE remove_at IS NOT NULL;
"""


_ANNOUNCED: Final = """
-- Where workers of a host take calls of other hosts.
CREATE TABLE announced (address TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
"""


_ORDERING: Final = """
-- Jobs of one queue and ordering key run in their order: all that wait for their turn have the
-- status 'held', which no index of queued jobs has.
ALTER TABLE jobs ADD COLUMN ordering_key TEXT;
CREATE INDEX jobs_in_order ON jobs (queue, ordering_key, status) WHERE ordering_key IS NOT NULL;
CREATE INDEX held_to_expire ON jobs (expires_at)
  WHERE status = 'held' AND expires_at IS NOT NULL;
"""


def packed(
    arguments: str,
    result: str | None,
    *rest: Any,  # noqa: ANN401 - columns
) -> bytes | str:
    """Return a job that was a row of many columns as one value, for `_PACKED`."""
    (
        id, task, queue, priority, max_attempts, created_at, timeout, keep, traceparent,  # noqa: A001
        idempotency_key, fingerprint, callbacks, status, attempt, due_at, expires_at, started_at,
        finished_at, cancelling, token, worker, lease_until, progress, failure, version,
    ) = rest  # fmt: skip
    return pack_job(
        Job(
            id=id,
            task=task,
            arguments=arguments,
            queue=queue,
            priority=priority,
            status=status,
            attempt=attempt,
            max_attempts=max_attempts,
            created_at=created_at,
            due_at=due_at,
            expires_at=expires_at,
            started_at=started_at,
            finished_at=finished_at,
            timeout=timeout,
            keep=keep,
            cancelling=bool(cancelling),
            lease=None if token is None else Lease(token, worker, lease_until),
            progress=None if progress is None else Progress(**json.loads(progress)),
            result=result,
            failure=None if failure is None else Failure(**json.loads(failure)),
            traceparent=traceparent,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            callbacks=() if callbacks is None else tuple(json.loads(callbacks)),
            version=version,
        )
    )


MIGRATIONS: Final[tuple[str, ...]] = (
    _FIRST,
    _CALLBACKS,
    _DELIVERIES,
    _PACKED,
    _ANNOUNCED,
    _ORDERING,
)
"""What makes each version of the schema out of the one before: the first of an empty file.

A new field of `Job` is a new version too, if only of an empty text: an older onecopy, which would
write the job without it, then refuses the file.
"""
