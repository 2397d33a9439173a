"""What OpenAPI says of the routes of events."""

from typing import Any, Final

from onecopy.http import openapi
from onecopy.http.problems import Kind

_EXAMPLE: Final = """retry: 1000

id: 1
data: {"job":"h1bDvKzXqQmW2yT5sLrNcEuG","number":1,"kind":"claimed",\
"at":"2026-11-23T19:49:26.121Z","status":"running","attempt":1,"worker":"web-1"}

id: 2
data: {"job":"h1bDvKzXqQmW2yT5sLrNcEuG","number":2,"kind":"progress",\
"at":"2026-11-23T19:49:27.002Z","status":"running","progress":{"done":40,"total":200,\
"message":null}}

"""
_AFTER: Final[dict[str, Any]] = {
    "name": "after",
    "in": "query",
    "required": False,
    "description": "As `Last-Event-ID`, where no header can be sent.",
    "schema": {"type": "string"},
    "example": "2",
}
_LAST: Final[dict[str, Any]] = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The `id` of the last event that arrived: what is after it is told. "
    "With several jobs it has a number for each, joined by dots, `-` for none yet.",
    "schema": {"type": "string"},
    "example": "2",
}
_IDS: Final[dict[str, Any]] = {
    "name": "ids",
    "in": "query",
    "required": True,
    "description": "Ids of up to 100 jobs, separated by commas.",
    "schema": {"type": "string"},
    "example": "h1bDvKzXqQmW2yT5sLrNcEuG,Zq0pVfZ3m1sYbU7cQeJwTgRa",
}

_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "id": {"type": "string", "pattern": r"^(-|[0-9]+)(\.(-|[0-9]+))*$"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "data"],
}

ONE: Final[dict[str, Any]] = {"parameters": [_LAST, _AFTER]}
SEVERAL: Final[dict[str, Any]] = {"parameters": [_IDS, _LAST, _AFTER]}
EVENTS: Final[openapi.Responses] = {
    200: {
        "description": "Events as they happen. The stream ends after the last one.",
        "content": {"text/event-stream": {"schema": _EVENT, "example": _EXAMPLE}},
    },
    204: {"description": "All was told already: do not come again"},
    **openapi.problems(Kind.EVENT_ID_INVALID, Kind.IDS_INVALID, Kind.JOB_UNKNOWN, Kind.UNAVAILABLE),
}
