"""The frames of AMQP 0-9-1 that come and go with each job. Pure: no I/O.

All others, of which there are a few for a connection, are written and read by the client library.
What that does for each message is more than the whole rest of a short job costs.
"""

import struct
from collections.abc import Mapping
from functools import cache
from struct import Struct
from typing import Final, NamedTuple

from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

METHOD: Final = 1
HEADER: Final = 2
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
DELIVER: Final = b"\x00\x3c\x00\x3c"
RETURN: Final = b"\x00\x3c\x00\x32"
ACK: Final = b"\x00\x3c\x00\x50"
NACK: Final = b"\x00\x3c\x00\x78"
BEGIN: Final = Struct(">BHI")
"""Of each frame: its kind, its channel, the bytes of its payload; one byte follows that."""
_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00\x00"  # by the default exchange
_MANDATORY: Final = b"\x01"
_BODY: Final = 3
_END: Final = b"\xce"
_ANSWER: Final = Struct(">BHI4sQBB")
_TAG: Final = Struct(">QB")
_CONTENT: Final = Struct(">HHQ")
_LONG: Final = Struct(">I")
_PERSISTENT: Final = 2
_OURS: Final = Struct(">H")
_FLAGS: Final = 0x8000 | 0x2000 | 0x1000 | 0x0080  # content type, headers, delivery mode, id
_TEXT: Final = ord("S")


class Content(NamedTuple):
    """A message as it came: the payloads of its frames."""

    method: bytes
    header: bytes
    body: bytes


class Delivery(NamedTuple):
    """What RabbitMQ calls a message that it has delivered, and the consumer that it is for."""

    consumer: str
    tag: int


# What is sent.


def properties(content_type: str, headers: Mapping[str, str], message_id: str) -> bytes:
    """Return the properties of a message that is to survive a restart."""
    entries = b"".join([_short(name) + _long(value) for name, value in headers.items()])
    return b"".join(
        (
            _OURS.pack(_FLAGS),
            _short(content_type),
            _LONG.pack(len(entries)),
            entries,
            bytes((_PERSISTENT,)),
            _short(message_id),
        )
    )


def publish(channel: int, queue: str, properties: bytes, body: bytes, largest: int) -> bytes:
    """Return the frames of a message for a queue. largest: bytes that a frame may have."""
    header = _CONTENT.pack(Basic.frame_id, 0, len(body)) + properties
    frames = [_frame(METHOD, channel, _address(queue)), _frame(HEADER, channel, header)]
    room = largest - BEGIN.size - len(_END) if largest else max(1, len(body))
    frames += [
        _frame(_BODY, channel, body[begin : begin + room]) for begin in range(0, len(body), room)
    ]
    return b"".join(frames)


def acknowledge(channel: int, tag: int, *, and_before: bool = False) -> bytes:
    """Return the frame that acknowledges what was delivered, or all up to it."""
    return _ANSWER.pack(METHOD, channel, 13, ACK, tag, and_before, _END[0])


def give_back(channel: int, tag: int) -> bytes:
    """Return the frame that has a message delivered again, to whomever."""
    return _ANSWER.pack(METHOD, channel, 13, NACK, tag, 2, _END[0])


@cache
def _address(queue: str) -> bytes:
    return _PUBLISH + _short(queue) + _MANDATORY


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return BEGIN.pack(kind, channel, len(payload)) + payload + _END


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _long(text: str) -> bytes:
    data = text.encode()
    return b"S" + _LONG.pack(len(data)) + data


# What comes.


def body_size(header: bytes) -> int:
    """Return how many bytes follow the header of a message."""
    return _CONTENT.unpack_from(header)[2]


def delivery(method: bytes) -> Delivery:
    """Read how a message was delivered."""
    end = 5 + method[4]
    return Delivery(method[5:end].decode(), _TAG.unpack_from(method, end)[0])


def returned_from(method: bytes) -> str:
    """Return the queue that a message was meant for: there is none of this name."""
    at = 6  # the reason as a number
    for _ in range(2):  # the reason in words, and the exchange
        at += 1 + method[at]
    return method[at + 1 : at + 1 + method[at]].decode()


def confirmed(method: bytes) -> tuple[int, bool]:
    """Read a confirm: its number, and whether it is for all up to it."""
    tag, flags = _TAG.unpack_from(method, 4)
    return tag, bool(flags & 1)


def headers(header: bytes) -> Mapping[str, object]:
    """Return the headers of a message. Raises ValueError."""
    try:
        found = _texts(header)
        return read(header).headers or {} if found is None else found
    except (IndexError, struct.error) as error:
        raise ValueError(f"its properties cannot be read: {error}") from None


def read(header: bytes) -> Basic.Properties:
    """Read properties of any kind. Raises ValueError."""
    content = ContentHeader()
    try:
        content.unmarshal(header)
    except (struct.error, PAMQPException, LookupError, TypeError, OverflowError) as error:
        raise ValueError(f"its properties cannot be read: {error}") from None
    return content.properties


def _texts(header: bytes) -> dict[str, object] | None:
    """Return the headers if all of them are texts, as ours are."""
    at, end = _table(header)
    found: dict[str, object] = {}
    while at < end:
        kind = at + 1 + header[at]
        if header[kind] != _TEXT:
            return None
        value = kind + 5 + _LONG.unpack_from(header, kind + 1)[0]
        try:
            found[header[at + 1 : kind].decode()] = header[kind + 5 : value].decode()
        except UnicodeDecodeError:
            return None
        at = value
    return found


def _table(header: bytes) -> tuple[int, int]:
    """Return where the headers begin and end."""
    flags = header[12] << 8 | header[13]
    at = 14
    for bit in (0x8000, 0x4000):  # content type and encoding are before them
        if flags & bit:
            at += 1 + header[at]
    if not flags & 0x2000:
        return at, at
    end = at + 4 + _LONG.unpack_from(header, at)[0]
    if end > len(header):
        raise IndexError("they are cut off")
    return at + 4, end
