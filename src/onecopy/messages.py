"""The message of a job on its way to a worker: CloudEvents 1.0 in JSON. Pure: no I/O, no clock.

An engine carries it; the store stays the truth about the job. What is written is checked as
strictly as what is read, so that a message that cannot be read is never sent::

    {"specversion": "1.0", "id": "<the job's id>", "source": "/geocoder/web-1",
     "type": "onecopy.job.accepted", "subject": "<the task's name>",
     "time": "2026-11-23T19:49:26.120000Z", "datacontenttype": "application/json",
     "data": {"rows": ["Bern"]}, "traceparent": "00-...-01"}

A message that is delivered again has the same id and source, as the standard wants it. Attributes
that we do not know are left alone: the standard lets anyone on the way add some.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

CONTENT_TYPE: Final = "application/cloudevents+json"

# Printable, without controls and surrogates, which CloudEvents forbids in attributes.
_Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
# A URI reference: RFC 3986's characters.
_Reference = Annotated[
    str, Field(min_length=1, pattern=r"^[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+$")
]
_TraceParent = Annotated[str, Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]


class InvalidMessage(ValueError):
    """What was read, or was to be written, is no message of ours; says what is wrong with it."""


class Message(BaseModel):
    """A job for a worker.

    id, task: of the job. source: who accepted it, as a URI reference. time: when. data: the task's
    arguments by name. traceparent, tracestate: the trace that it began in (W3C Trace Context).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        revalidate_instances="always",
    )

    specversion: Literal["1.0"] = "1.0"
    id: _Text
    source: _Reference
    type: Literal["onecopy.job.accepted"] = "onecopy.job.accepted"
    task: _Text = Field(alias="subject")
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, JsonValue]
    traceparent: _TraceParent | None = None
    tracestate: _Text | None = None

    @classmethod
    def of(
        cls,
        job: str,
        task: str,
        *,
        source: str,
        time: datetime,
        data: dict[str, JsonValue],
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Self:
        """Make a message. Raises InvalidMessage."""
        try:
            return cls(
                id=job,
                source=source,
                subject=task,
                time=time,
                data=data,
                traceparent=traceparent,
                tracestate=tracestate,
            )
        except ValidationError as error:
            raise InvalidMessage(_in_words(error)) from error


def write(message: Message) -> bytes:
    """Return a message as JSON in UTF-8. Raises InvalidMessage if it cannot be written."""
    try:
        return message.model_dump_json(exclude_none=True).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"it cannot be written as JSON: {error}") from error


def read(text: str | bytes) -> Message:
    """Return the message that a JSON text is. Raises InvalidMessage."""
    try:
        return Message.model_validate_json(text)
    except ValidationError as error:
        raise InvalidMessage(_in_words(error)) from error


def _in_words(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(str(step) for step in fault['loc']) or 'the message'}: {fault['msg']}"
        for fault in faults[:5]
    )
