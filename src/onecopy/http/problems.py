"""Problems (RFC 9457): every error that the routes answer, each with a type that stays."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from starlette.responses import Response

from onecopy.errors import Busy, NoWorker, OneCopyError, QueueIsFull, StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"
_TYPES: Final = "urn:onecopy:problem:"


class Kind(Enum):
    """The kinds of problems: their type, status and title."""

    JSON_INVALID = ("json-invalid", 400, "The body is no JSON")
    KEY_INVALID = ("idempotency-key-invalid", 400, "The Idempotency-Key cannot be one")
    EVENT_ID_INVALID = ("event-id-invalid", 400, "The Last-Event-ID is not of this stream")
    IDS_INVALID = ("ids-invalid", 400, "These are no ids of jobs to follow")
    MESSAGE_INVALID = ("message-invalid", 400, "The message is not understood")
    TOKEN_REFUSED = ("token-refused", 403, "This is not the token of the job's attempt")
    JOB_UNKNOWN = ("job-unknown", 404, "There is no such job")
    JOB_FAILED = ("job-failed", 404, "The job has failed and has no result")
    JOB_CANCELLED = ("job-cancelled", 404, "The job was cancelled and has no result")
    JOB_FINAL = ("job-final", 409, "The job has ended already")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    NOT_JSON = ("media-type", 415, "The body has to be application/json")
    ARGUMENTS_INVALID = ("arguments-invalid", 422, "The arguments do not fit the task")
    KEY_REUSED = ("idempotency-key-reused", 422, "The Idempotency-Key is of another request")
    OUTCOME_INVALID = ("outcome-invalid", 422, "This is no outcome of the task")
    CALLBACK_REFUSED = ("callback-refused", 422, "This URL is not called back")
    QUEUE_FULL = ("queue-full", 503, "The queue is full")
    UNAVAILABLE = ("unavailable", 503, "Jobs cannot be accepted or read now")
    NO_WORKER = ("no-worker", 503, "No worker takes calls of the task")
    BUSY = ("busy", 503, "The workers have as many calls as they may")

    @property
    def type(self) -> str:
        """The URI that tells the kind; it never changes."""
        return _TYPES + self.value[0]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[1]

    @property
    def title(self) -> str:
        """The kind in words; the same each time."""
        return self.value[2]


_NOT_NOW: Final[Mapping[type[OneCopyError], Kind]] = {
    QueueIsFull: Kind.QUEUE_FULL,
    StoreUnavailable: Kind.UNAVAILABLE,
    NoWorker: Kind.NO_WORKER,
    Busy: Kind.BUSY,
}


@dataclass
class Problem(Exception):
    """Ends a request with a problem.

    detail: what is wrong this time. members: more of the JSON object. headers: of the answer.
    """

    kind: Kind
    detail: str
    members: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def response(self) -> Response:
        """Return the answer."""
        return Response(
            json.dumps(self.members_in_full()),
            self.kind.status,
            dict(self.headers),
            MEDIA_TYPE,
        )

    def members_in_full(self) -> dict[str, object]:
        """Return the JSON object."""
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.members,
        }


def of_error(error: OneCopyError, retry_after: int) -> Problem | None:
    """Return the problem of an error that says: not now. None for any other."""
    kind = _NOT_NOW.get(type(error))
    if kind is None:
        return None
    # What a store says may name paths and hosts: it is for the log.
    detail = "Try again later." if kind is Kind.UNAVAILABLE else str(error)
    return Problem(kind, detail, headers={"Retry-After": str(retry_after)})
