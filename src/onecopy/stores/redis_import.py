"""Jobs and deliveries taken over from another store, on Redis."""

from collections.abc import Sequence
from itertools import batched
from typing import Final

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import Job
from onecopy.stores import redis_delivery_records as delivery_records
from onecopy.stores.base import IdempotencyConflict, Record, is_behind
from onecopy.stores.packing import without_long_texts
from onecopy.stores.redis_changes import COMMIT
from onecopy.stores.redis_commit import Commit, Value, as_text
from onecopy.stores.redis_delivery_records import FIELDS, DeliveryKeys, DeliveryRecord
from onecopy.stores.redis_keys import RECORD, Keys, idempotency
from onecopy.stores.redis_programs import Program
from onecopy.stores.redis_records import Record as Known
from onecopy.stores.redis_records import long_text, pack, pack_event, read

_AT_ONCE: Final = 1000
"""Events in one command: a script gives a command no more than some thousand words."""


class Import:
    """Makes programs."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._deliveries = DeliveryKeys(keys.tag)

    def jobs(self, records: Sequence[Record]) -> Program[int]:
        """Record jobs as they are, all or none."""
        if not records:
            return 0
        while True:
            found = yield [("HMGET", self._keys.job(job.id), *RECORD) for job, _ in records]
            known = [read(fields) for fields in found]
            pairs = [*zip(records, known, strict=True)]
            wanted = [(r, k) for r, k in pairs if k is None or k.job.version < r.job.version]
            if not wanted:
                return 0
            yield from self._must_be_free([record.job for record, _ in wanted])
            new = sum(each is None for _, each in wanted)
            (last,) = yield [("INCRBY", f"{self._keys.tag}seq", new)]
            commit, number = Commit(), last - new
            for record, before in wanted:
                number += before is None
                self._put(commit, record, before, number if before is None else before.number)
            (done,) = yield [COMMIT.call(self._keys.tag, commit.packed())]
            if done:
                return len(wanted)

    def _must_be_free(self, jobs: Sequence[Job]) -> Program[None]:
        """Raise IdempotencyConflict if another job has a key of theirs."""
        keys = {idempotency(j.task, j.idempotency_key): j for j in jobs if j.idempotency_key}
        if not keys:
            return
        (owners,) = yield [("HMGET", self._keys.idempotency, *keys)]
        for job, owner in zip(keys.values(), owners, strict=True):
            if owner is not None and owner.decode() != job.id:
                words = f"the key {job.idempotency_key!r} is of job {owner.decode()}"
                raise IdempotencyConflict(words)

    def _put(self, commit: Commit, record: Record, before: Known | None, number: int) -> None:
        job, events = record
        key = self._keys.job(job.id)
        if before is None:
            commit.require(False, "HGET", key, "n")
        else:
            commit.require(str(before.revision), "HGET", key, "n")
            commit.do("DEL", key, self._keys.events(job.id))
        revision = 0 if before is None else before.revision + 1
        commit.do("HSET", key, *_fields(job, number, revision))
        for some in batched(events, _AT_ONCE):
            packed = (as_text(pack_event(event)) for event in some)
            commit.do("RPUSH", self._keys.events(job.id), *packed)
        if job.idempotency_key is not None:
            field = idempotency(job.task, job.idempotency_key)
            commit.require(
                False if before is None else job.id, "HGET", self._keys.idempotency, field
            )
            commit.do("HSET", self._keys.idempotency, field, job.id)
        self._keys.move(commit, number, None if before is None else before.job, job)

    def deliveries(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> Program[int]:
        """Record deliveries and their tries, all or none."""
        if not records:
            return 0
        keys = self._deliveries
        while True:
            found = yield [("HMGET", keys.delivery(each.id), *FIELDS) for each, _ in records]
            known = [delivery_records.read(fields) for fields in found]
            pairs = [*zip(records, known, strict=True)]
            wanted = [(r, k) for r, k in pairs if k is None or is_behind(k.delivery, r[0])]
            if not wanted:
                return 0
            new = sum(each is None for _, each in wanted)
            (last,) = yield [("INCRBY", keys.numbers, new)]
            commit, number = Commit(), last - new
            for (delivery, tries), before in wanted:
                number += before is None
                self._put_delivery(commit, delivery, before, number)
                commit.do("DEL", keys.tries(delivery.id))
                for each in tries:
                    delivery_records.add_try(commit, keys, delivery.id, each)
            (done,) = yield [COMMIT.call(self._keys.tag, commit.packed())]
            if done:
                return len(wanted)

    def _put_delivery(
        self, commit: Commit, delivery: Delivery, before: DeliveryRecord | None, number: int
    ) -> None:
        if before is not None:
            delivery_records.write(commit, self._deliveries, before, delivery)
            return
        commit.require(False, "HGET", self._deliveries.delivery(delivery.id), "n")
        delivery_records.add(commit, self._deliveries, delivery, (), delivery.created_at, number)


def _fields(job: Job, number: int, revision: int) -> list[Value]:
    """What a job's record holds."""
    short = without_long_texts(job)
    fields: list[Value] = ["j", as_text(pack(job)), "n", str(revision), "s", str(number)]
    texts = {
        "a": long_text(job.arguments, short.arguments),
        "r": long_text(job.result, short.result),
        "f": job.fingerprint,
        "u": None if job.lease is None else repr(job.lease.until),
    }
    for name, text in texts.items():
        if text is not None:
            fields += [name, text]
    return fields
