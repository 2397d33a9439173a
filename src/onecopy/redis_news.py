"""What the Redis store says of jobs that have changed, in the step that changes them.

On one channel the ids of jobs; on another jobs as they have ended, so that who waits for one need
not ask for it.
"""

from typing import Final

from msgspec import msgpack

from onecopy.jobs import Job

_MOST: Final = 4096
"""Bytes of a job that is said as a whole: every process that follows changes hears it."""
_encode: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder(Job).decode


def changes(tag: str) -> str:
    """The channel of ids, one in each line."""
    return f"{tag}changes"


def ended(tag: str) -> str:
    """The channel of jobs that have ended."""
    return f"{tag}ended"


def news(tag: str, job: Job) -> tuple[str, bytes]:
    """Return a channel, and what to say there of a job that has changed."""
    if job.final:
        try:
            packed = _encode(job)
        except UnicodeEncodeError:  # a text that UTF-8 cannot hold, an exception's
            packed = b""
        if 0 < len(packed) <= _MOST:
            return ended(tag), packed
    return changes(tag), job.id.encode()


def job_of(said: bytes) -> Job:
    """Return the job that was said to have ended."""
    return _decode(said)
