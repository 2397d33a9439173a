"""A job on its way by a broker: a CloudEvent in binary mode. Pure: no I/O.

Its attributes are headers, each with the prefix that the protocol's binding wants (`cloudEvents_`
in AMQP, `ce_` in Kafka); its data are the job's arguments. Arguments that are large stay in the
store, where a worker has them from anyway.
"""

import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final
from urllib.parse import quote

from onecopy.engines.base import Rung
from onecopy.jobs import Job
from onecopy.messages import InvalidMessage

TYPE: Final = "onecopy.job.accepted"
CONTENT_TYPE: Final = "application/json"
LARGEST: Final = 64 * 1024
"""Bytes of arguments that travel with a message."""


def headers(job: Job, prefix: str) -> dict[str, str]:
    """Return the attributes of a job's message, as headers."""
    accepted = datetime.fromtimestamp(job.created_at, UTC).isoformat()
    found = {
        f"{prefix}specversion": "1.0",
        f"{prefix}id": job.id,
        f"{prefix}source": _source(),
        f"{prefix}type": TYPE,
        f"{prefix}subject": job.task,
        f"{prefix}time": accepted,
    }
    if job.traceparent is not None:
        found[f"{prefix}traceparent"] = found["traceparent"] = job.traceparent
    return found


def data(job: Job) -> bytes:
    """Return a job's arguments; nothing if they are large."""
    arguments = job.arguments.encode()
    return arguments if len(arguments) <= LARGEST else b""


def named(headers: Mapping[str, object], *prefixes: str) -> Rung:
    """Return the job that a message names. Raises InvalidMessage: it is none of ours."""
    for prefix in prefixes:
        if f"{prefix}specversion" in headers:
            break
    else:
        raise InvalidMessage(f"it is no CloudEvent: there is no header {prefixes[0]}specversion")
    kind = _text(headers, f"{prefix}type")
    if kind != TYPE:
        raise InvalidMessage(f"its type is {kind[:100]!r}, not {TYPE!r}")
    return Rung(_text(headers, f"{prefix}id"), _text(headers, f"{prefix}subject"))


def _text(headers: Mapping[str, object], name: str) -> str:
    value = headers.get(name)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise InvalidMessage(f"its header {name} is not UTF-8") from None
    if not isinstance(value, str) or not value or "\x00" in value:
        raise InvalidMessage(f"it has no header {name}, or not a text in it")
    return value


@cache
def _source() -> str:
    return f"/onecopy/{quote(socket.gethostname())}"
