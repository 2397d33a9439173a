"""The tables of the PostgreSQL store, and how each version of them came out of the one before."""

from typing import Final

_FIRST: Final = """
CREATE TABLE jobs (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- the order of acceptance
  id text COLLATE "C" NOT NULL UNIQUE,
  task text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  created_at float8 NOT NULL,
  idempotency_key text COLLATE "C",
  status text COLLATE "C" NOT NULL,
  due_at float8 NOT NULL,
  expires_at float8,
  worker text COLLATE "C",
  lease_until float8,              -- the truth of it: `job` may have an earlier one
  remove_at float8,                -- NULL until it is final
  job bytea NOT NULL,              -- all of it; the columns before are there to be searched
  arguments bytea,                 -- long texts, apart: they are not written anew with each change
  result bytea
);
CREATE TABLE events (
  job bigint NOT NULL,
  number integer NOT NULL,
  at float8 NOT NULL,
  kind text COLLATE "C" NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (job, number)
);
-- What would take a count of all jobs, kept with each change. In many slots, one for a connection
-- or a few: whoever adds to a row waits for whoever did before. Slots below zero are of backends
-- in transactions of users, which may be long.
CREATE TABLE figures (
  queue text COLLATE "C" NOT NULL,
  task text COLLATE "C" NOT NULL,
  slot integer NOT NULL DEFAULT pg_backend_pid() % 64,
  queued bigint NOT NULL DEFAULT 0,
  running bigint NOT NULL DEFAULT 0,
  succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  cancelled bigint NOT NULL DEFAULT 0,
  ended bigint NOT NULL DEFAULT 0, -- final jobs whose last attempt was begun
  waited bigint NOT NULL DEFAULT 0,
  ran bigint NOT NULL DEFAULT 0,   -- their times, in microseconds
  PRIMARY KEY (queue, task, slot)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX jobs_by_key ON jobs (task, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_to_claim ON jobs (queue, priority DESC, due_at, seq) WHERE status = 'queued';
CREATE INDEX jobs_of_task ON jobs (queue, task, priority DESC, due_at, seq)
  WHERE status = 'queued';
CREATE INDEX jobs_to_expire ON jobs (expires_at)
  WHERE status = 'queued' AND expires_at IS NOT NULL;
CREATE INDEX jobs_running ON jobs (worker) WHERE status = 'running';
CREATE INDEX jobs_to_lose ON jobs (lease_until) WHERE status = 'running';
CREATE INDEX jobs_to_remove ON jobs (remove_at) WHERE remove_at IS NOT NULL;
CREATE TABLE deliveries (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- the order of their recording
  id text COLLATE "C" NOT NULL UNIQUE,
  job text COLLATE "C" NOT NULL,   -- its id: a pending delivery may outlive its job
  url text COLLATE "C" NOT NULL,
  receiver text COLLATE "C" NOT NULL,
  created_at float8 NOT NULL,
  payload bytea NOT NULL,
  status text COLLATE "C" NOT NULL,
  due_at float8,
  remove_at float8,                -- NULL until it is final
  delivery bytea NOT NULL          -- all but the payload
);
CREATE TABLE tries (
  delivery bigint NOT NULL,
  number integer NOT NULL,
  try bytea NOT NULL,
  PRIMARY KEY (delivery, number)
);
-- Where workers of a host take calls of other hosts.
CREATE TABLE announced (address text COLLATE "C" PRIMARY KEY, until float8 NOT NULL);
CREATE TABLE disabled_urls (url text COLLATE "C" PRIMARY KEY);
CREATE INDEX deliveries_due ON deliveries (receiver, due_at) WHERE status = 'pending';
CREATE INDEX deliveries_pending_to ON deliveries (url) WHERE status = 'pending';
CREATE INDEX deliveries_of_job ON deliveries (job);
CREATE INDEX deliveries_to_remove ON deliveries (remove_at) WHERE remove_at IS NOT NULL;
"""

_ORDERING: Final = """
-- Jobs of one queue and ordering key run in their order: all that wait for their turn have the
-- status 'held', which no index of queued jobs has.
ALTER TABLE jobs ADD COLUMN ordering_key text COLLATE "C";
CREATE INDEX jobs_in_order ON jobs (queue, ordering_key, status, seq)
  WHERE ordering_key IS NOT NULL;
CREATE INDEX held_to_expire ON jobs (expires_at)
  WHERE status = 'held' AND expires_at IS NOT NULL;
-- Orders that got jobs in transactions of users: whose turn it is has to be looked at.
CREATE TABLE unsettled (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text COLLATE "C" NOT NULL,
  ordering_key text COLLATE "C" NOT NULL
);
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST, _ORDERING)
"""What makes each version of the schema out of the one before: the first of an empty one.

A new field of `Job` is a new version too, if only of an empty text: an older onecopy, which would
write the job without it, then refuses the store.
"""
