"""The body of a request: JSON, no larger than it may be."""

import re
from typing import Final

from onecopy.http.answers import Asked
from onecopy.http.problems import Kind, Problem

_JSON: Final = re.compile(r"application/(?:json|[\w.-]+\+json)\s*(?:;.*)?", re.IGNORECASE)


async def read_body(asked: Asked) -> bytes:
    """Return the body; of an empty one, an empty JSON object. Raises Problem."""
    limit = asked.options.body_limit
    too_large = Problem(Kind.BODY_TOO_LARGE, f"At most {limit:,} bytes.")
    length = asked.request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise too_large
    body = bytearray()
    async for chunk in asked.request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    if not body:
        return b"{}"
    # Anything else a page of another site could send without being asked for permission (CORS).
    if not _JSON.fullmatch(asked.request.headers.get("content-type", "")):
        raise Problem(Kind.NOT_JSON, "Send `Content-Type: application/json`.")
    return bytes(body)
