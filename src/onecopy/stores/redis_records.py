"""Jobs as records of the Redis store.

A claim is noted beside the job (`c`), by a script that knows nothing of what it means; whoever
reads the record applies it with `onecopy.jobs.apply`, and the next change writes both. So the state
machine is in one place, and a claim is one step nevertheless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from msgspec import msgpack
from msgspec.structs import replace

from onecopy.jobs import Claim, Event, Job, Kind, Lease, apply, describe
from onecopy.stores.packing import (
    Packed,
    pack_data,
    pack_job,
    unpack_data,
    unpack_job,
    without_long_texts,
)

type Fields = Sequence[bytes | None]
"""Values of `redis_keys.RECORD`."""

_encode: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Record:
    """A job as it is on record.

    number: of its acceptance, by which jobs are listed. revision: grows with each write.
    claimed: the event of its claim, which is not in its history yet.
    """

    job: Job
    number: int
    revision: int
    claimed: Event | None


def read(fields: Fields) -> Record | None:
    """Return the record in these fields; None if there is none."""
    packed, revision, number, claim, until, held, arguments, result = fields
    if packed is None or revision is None or number is None:
        return None
    job = _with_texts(_unpacked(packed), arguments, result)
    if job.held != (held is not None):
        job = replace(job, held=held is not None)
    claimed = None
    if claim is not None:
        before, job = job, apply(job, *_claim_of(claim))
        claimed = describe(before, _claim_of(claim)[0], job, job.started_at or 0.0)
    if job.lease is not None and until is not None:
        job = replace(job, lease=replace(job.lease, until=float(until)))
    return Record(job, int(number), int(revision), claimed)


def _claim_of(note: bytes) -> tuple[Claim, float]:
    token, now, until, worker = note.decode().split(" ", 3)
    return Claim(Lease(token, worker, float(until))), float(now)


def _with_texts(job: Job, arguments: bytes | None, result: bytes | None) -> Job:
    if arguments is not None and not job.arguments:
        job = replace(job, arguments=arguments.decode())
    if result is not None and job.result == "":
        job = replace(job, result=result.decode())
    return job


def pack(job: Job) -> bytes:
    """Return a job as the field `j`: without long texts, which have fields of their own."""
    return _as_bytes(pack_job(without_long_texts(job)))


def long_text(whole: str | None, packed: str | None) -> str | None:
    """Return a text that `without_long_texts` took away."""
    return whole if packed == "" else None


def pack_event(event: Event) -> bytes:
    """Return an event as a value of its job's list."""
    return _encode((event.at, event.kind, pack_data(event.data)))


def unpack_event(job: str, number: int, packed: bytes) -> Event:
    """Return the event in a value of the list."""
    at, kind, data = cast("tuple[float, Kind, Packed]", _decode(packed))
    return Event(job, number, at, kind, unpack_data(data))


def _as_bytes(packed: Packed) -> bytes:
    return packed if isinstance(packed, bytes) else packed.encode()


def _unpacked(packed: bytes) -> Job:
    # JSON, in place of MessagePack, begins with a brace; no map of MessagePack does.
    return unpack_job(packed.decode() if packed.startswith(b"{") else packed)
