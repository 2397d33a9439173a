"""Jobs, and the data of events, as single values; what is searched for stands beside them.

MessagePack: it is the quickest, and keeps every number as it is, infinite ones too. Where a text
holds what UTF-8 cannot (an exception's, with a lone surrogate), JSON in ASCII.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from msgspec import convert, msgpack, to_builtins
from msgspec.structs import replace

from onecopy.jobs import Job, Status

type Packed = bytes | str

LONG: Final = 1000
"""Characters of arguments, or of a result, that lie apart from their job."""

SEARCHED: Final = ("status", "due_at", "expires_at", "worker", "lease_until", "remove_at")
"""What changes of a job and is searched for: the names of `searched`."""

_encode: Final = msgpack.Encoder().encode
_decode_job: Final = msgpack.Decoder(Job).decode
_decode_data: Final = msgpack.Decoder(dict[str, Any]).decode


def _pack(value: object) -> Packed:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(to_builtins(value))


def pack_job(job: Job) -> Packed:
    """Return a job as one value."""
    return _pack(job)


def unpack_job(packed: Packed) -> Job:
    """Return the job in a value."""
    return _decode_job(packed) if isinstance(packed, bytes) else convert(json.loads(packed), Job)


def without_long_texts(job: Job) -> Job:
    """Return a job whose long texts are empty, which no JSON is."""
    if len(job.arguments) > LONG:
        job = replace(job, arguments="")
    if job.result is not None and len(job.result) > LONG:
        job = replace(job, result="")
    return job


def searched(job: Job) -> tuple[Any, ...]:
    """Return what `SEARCHED` names; `remove_at` is None until a job is final.

    The status of a held job is `held`: so it is among none of those that are queued.
    """
    status = "held" if job.held else job.status
    worker, until = (None, None) if job.lease is None else (job.lease.worker, job.lease.until)
    remove_at = None if job.finished_at is None else job.finished_at + job.keep
    return status, job.due_at, job.expires_at, worker, until, remove_at


def with_held(job: Job, status: str) -> Job:
    """Return a job as its searched status says: whose turn it is is written only there."""
    if job.held == (status == "held"):
        return job
    return replace(job, held=status == "held")


def statuses_in_rows(statuses: Sequence[Status]) -> list[str]:
    """Return the searched statuses of jobs that have one of these."""
    return [*statuses, *(["held"] if "queued" in statuses else [])]


def pack_data(data: dict[str, Any]) -> Packed:
    """Return the data of an event as one value."""
    return _pack(data)


def unpack_data(packed: Packed) -> dict[str, Any]:
    """Return the data in a value; until schema 3, all was JSON."""
    return _decode_data(packed) if isinstance(packed, bytes) else json.loads(packed)
