"""The body of a request: JSON, no larger than it may be."""

import re
from typing import Final

from onecopy.http.answers import Asked
from onecopy.http.problems import Kind, Problem

_JSON: Final = re.compile(r"application/(?:json|[\w.-]+\+json)\s*(?:;.*)?", re.IGNORECASE)


async def read_body(asked: Asked) -> bytes:
    """Return the body; of an empty one, an empty JSON object. Raises Problem."""
    limit = asked.options.body_limit
    length = asked.headers.get(b"content-length", ("",))[0]
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in asked.request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
    if not size:
        return b"{}"
    # Anything else a page of another site could send without being asked for permission (CORS).
    if not _JSON.fullmatch(asked.headers.get(b"content-type", ("",))[0]):
        raise Problem(Kind.NOT_JSON, "Send `Content-Type: application/json`.")
    return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(Kind.BODY_TOO_LARGE, f"At most {limit:,} bytes.")
