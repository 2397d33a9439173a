"""Jobs, and the data of events, as single values of a column.

MessagePack: it is the quickest, and keeps every number as it is, infinite ones too. Where a text
holds what UTF-8 cannot (an exception's, with a lone surrogate), JSON in ASCII.
"""

import json
from typing import Any, Final

from msgspec import convert, msgpack, to_builtins

from onecopy.jobs import Job

type Packed = bytes | str

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


def pack_data(data: dict[str, Any]) -> Packed:
    """Return the data of an event as one value."""
    return _pack(data)


def unpack_data(packed: Packed) -> dict[str, Any]:
    """Return the data in a value; until schema 3, all was JSON."""
    return _decode_data(packed) if isinstance(packed, bytes) else json.loads(packed)
