"""What a message of anybody's is: a CloudEvent, structured or binary, or plain JSON. Pure."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from pydantic_core import from_json

STRUCTURED: Final = "application/cloudevents"
_PREFIXES: Final = ("cloudEvents_", "cloudEvents:", "ce_")


class Refused(Exception):
    """A message becomes no job; says why."""


class Delivered(NamedTuple):
    """A message as a broker has brought it.

    id: what tells it when it comes again, if nothing in it does; None: nothing does. reply_to,
    correlation: where its sender wants to hear of the outcome, and what tells it which this is.
    """

    headers: Mapping[str, object]
    content_type: str
    body: bytes
    id: str | None
    reply_to: str | None = None
    correlation: str | None = None


class Incoming(NamedTuple):
    """What a message says: its data, as JSON has them; what tells it when it comes again."""

    data: Any
    id: str | None
    traceparent: str | None


def read(message: Delivered) -> Incoming:
    """Return what a message says. Raises Refused."""
    if message.content_type.startswith(STRUCTURED):
        return _structured(message)
    for prefix in _PREFIXES:
        if f"{prefix}specversion" in message.headers:
            return _binary(message, prefix)
    return Incoming(_json(message.body), message.id, _text(message.headers.get("traceparent")))


def _structured(message: Delivered) -> Incoming:
    event = _json(message.body)
    if not isinstance(event, dict) or "specversion" not in event:
        raise Refused("its content type says that it is a CloudEvent, and it is none")
    attributes = cast("dict[str, Any]", event)
    if "data_base64" in attributes:
        raise Refused("its data are bytes (data_base64), not JSON")
    return Incoming(attributes.get("data"), *_told(attributes))


def _binary(message: Delivered, prefix: str) -> Incoming:
    attributes = {
        name.removeprefix(prefix): value
        for name, value in message.headers.items()
        if name.startswith(prefix)
    }
    return Incoming(_json(message.body), *_told(attributes))


def _told(attributes: Mapping[str, object]) -> tuple[str, str | None]:
    """The two that are unique for each event together, and the trace that it began in."""
    source, event = _text(attributes.get("source")), _text(attributes.get("id"))
    if not source or not event:
        raise Refused("it is a CloudEvent without id or source")
    return f"{source} {event}", _text(attributes.get("traceparent"))


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None


def _json(body: bytes) -> Any:  # noqa: ANN401  whatever JSON has
    try:
        return from_json(body)
    except ValueError as error:
        raise Refused(f"its data are no JSON: {error}") from None
