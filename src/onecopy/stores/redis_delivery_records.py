"""Deliveries as records of the Redis store, and the sets in which they are searched.

{onecopy}delivery:ID          hash: d delivery, p payload, n revision, s number
{onecopy}tries:ID             list: its tries
{onecopy}deliveries:S         deliveries of a status, by number
{onecopy}deliveries-of:JOB    those of a job, by number
{onecopy}pending-at:R         pending ones of a receiver, by when they are due
{onecopy}receivers            receivers that have any, by when the first is due
{onecopy}pending-for:URL      pending ones of a URL
{onecopy}delivery-removal     final ones, by when they are to go
{onecopy}disabled             set: URLs that want no more
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import msgpack
from msgspec.structs import replace

from onecopy.deliveries import Delivery, Status, Try, disabled
from onecopy.stores.redis_commit import Commit, as_text

FIELDS: Final = ("d", "p", "n", "s")

_encode: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder(Delivery).decode
_decode_try: Final = msgpack.Decoder(Try).decode


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery as it is on record; number and revision as of a job's record."""

    delivery: Delivery
    number: int
    revision: int


class DeliveryKeys:
    """Names of keys, and where a delivery stands."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.prefix = f"{tag}delivery:"
        self.disabled = f"{tag}disabled"
        self.receivers = f"{tag}receivers"
        self.removal = f"{tag}delivery-removal"
        self.numbers = f"{tag}delivery-numbers"

    def delivery(self, delivery: str) -> str:
        """The record of a delivery."""
        return f"{self.prefix}{delivery}"

    def tries(self, delivery: str) -> str:
        """What came of its tries."""
        return f"{self._tag}tries:{delivery}"

    def status(self, status: Status) -> str:
        """The deliveries of a status."""
        return f"{self._tag}deliveries:{status}"

    def of(self, job: str) -> str:
        """The deliveries of a job."""
        return f"{self._tag}deliveries-of:{job}"

    def pending_at(self, receiver: str) -> str:
        """The pending deliveries of a receiver."""
        return f"{self._tag}pending-at:{receiver}"

    def pending_for(self, url: str) -> str:
        """The pending deliveries of a URL."""
        return f"{self._tag}pending-for:{url}"

    def marks(self, delivery: Delivery, number: int) -> dict[tuple[str, str], str]:
        """Where a delivery stands."""
        id = delivery.id  # noqa: A001 - the word
        marks = {(self.status(delivery.status), id): str(number)}
        marks[self.of(delivery.job), id] = str(number)
        if delivery.due_at is not None:
            # Those that are due at one time go by number.
            marks[self.pending_at(delivery.receiver), f"{number:016d}:{id}"] = repr(delivery.due_at)
            marks[self.pending_for(delivery.url), id] = str(number)
        if delivery.finished_at is not None:
            marks[self.removal, id] = repr(delivery.finished_at + delivery.keep)
        return marks

    def move(
        self, commit: Commit, number: int, before: Delivery | None, after: Delivery | None
    ) -> None:
        """Bring sets from one state of a delivery to the next; None: it is not there."""
        old = {} if before is None else self.marks(before, number)
        new = {} if after is None else self.marks(after, number)
        commit.remark(old, new)
        for each in (before, after):
            if each is not None and each.due_at is not None:
                receiver = each.receiver
                commit.head(self.pending_at(receiver), self.receivers, receiver)


def read(fields: Sequence[bytes | None]) -> DeliveryRecord | None:
    """Return the record in these fields; None if there is none."""
    packed, payload, revision, number = fields
    if packed is None or payload is None or revision is None or number is None:
        return None
    delivery = replace(_decode(packed), payload=payload.decode())
    return DeliveryRecord(delivery, int(number), int(revision))


def add(
    commit: Commit,
    keys: DeliveryKeys,
    delivery: Delivery,
    unwanted: Collection[str],
    now: float,
    number: int,
) -> None:
    """Record a new delivery; disabled, if its URL is."""
    new = disabled(delivery, now) if delivery.url in unwanted else delivery
    packed = as_text(_encode(replace(new, payload="")))
    key = keys.delivery(new.id)
    commit.do("HSET", key, "d", packed, "p", new.payload, "n", "0", "s", str(number))
    keys.move(commit, number, None, new)


def write(commit: Commit, keys: DeliveryKeys, before: DeliveryRecord, after: Delivery) -> None:
    """Write a record as it is after a change, if nobody has written it meanwhile."""
    key = keys.delivery(after.id)
    commit.require(str(before.revision), "HGET", key, "n")
    packed = as_text(_encode(replace(after, payload="")))
    commit.do("HSET", key, "d", packed, "n", str(before.revision + 1))
    keys.move(commit, before.number, before.delivery, after)


def erase(commit: Commit, keys: DeliveryKeys, record: DeliveryRecord) -> None:
    """Forget a delivery, if nobody has written it meanwhile."""
    delivery = record.delivery
    key = keys.delivery(delivery.id)
    commit.require(str(record.revision), "HGET", key, "n")
    commit.do("DEL", key, keys.tries(delivery.id))
    keys.move(commit, record.number, delivery, None)


def add_try(commit: Commit, keys: DeliveryKeys, delivery: str, outcome: Try) -> None:
    """Record what came of a try."""
    commit.do("RPUSH", keys.tries(delivery), as_text(_encode(outcome)))


def read_try(packed: bytes) -> Try:
    """Return the try in a value of the list."""
    return _decode_try(packed)
