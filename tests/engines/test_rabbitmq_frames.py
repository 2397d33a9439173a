"""The frames that we write and read ourselves, beside those of the client library."""

import asyncio
import struct
from collections.abc import Mapping
from typing import Any

import pamqp.frame
import pytest
from pamqp.base import Frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from onecopy.engines import rabbitmq_frames as frames
from onecopy.engines.rabbitmq_confirms import Confirms
from onecopy.engines.rabbitmq_wire import Contents, Wire

_HEADERS = {"cloudEvents_id": "7", "cloudEvents_subject": "géocode"}


def _read(data: bytes) -> list[Any]:
    found: list[Any] = []
    while data:
        used, channel, frame = pamqp.frame.unmarshal(data)
        assert channel == 5
        found.append(frame)
        data = data[used:]
    return found


def _published(body: bytes, largest: int = 131072) -> list[Any]:
    properties = frames.properties("application/json", _HEADERS, "job")
    return _read(frames.publish(5, "q", properties, body, largest))


def _header(properties: Basic.Properties) -> bytes:
    return ContentHeader(0, 3, properties).marshal()


def _delivered(tag: int, header: bytes, body: bytes, channel: int = 5) -> bytes:
    method = pamqp.frame.marshal(Basic.Deliver("who", tag, False, "", "q"), channel)
    frame = struct.pack(">BHI", 2, channel, len(header)) + header + b"\xce"
    content = struct.pack(">BHI", 3, channel, len(body)) + body + b"\xce" if body else b""
    return method + frame + content


def test_the_client_library_reads_what_is_published() -> None:
    method, header, body = _published(b"{}")
    assert isinstance(method, Basic.Publish)
    assert (method.exchange, method.routing_key, method.mandatory) == ("", "q", True)
    assert header.body_size == 2
    assert header.properties.headers == _HEADERS
    assert header.properties.content_type == "application/json"
    assert header.properties.message_id == "job"
    assert header.properties.delivery_mode == 2
    assert body.value == b"{}"


def test_bodies_are_split_as_the_server_wants_them() -> None:
    assert len(_published(b"")) == 2
    _, _, *parts = _published(b"x" * 10_000, largest=4096)
    assert [len(part.value) for part in parts] == [4088, 4088, 1824]
    _, _, whole = _published(b"x" * 10_000, largest=0)
    assert len(whole.value) == 10_000


def test_the_client_library_reads_acknowledgements() -> None:
    together, one = _read(frames.acknowledge(5, 2**40, and_before=True) + frames.acknowledge(5, 7))
    assert (together.name, together.delivery_tag, together.multiple) == ("Basic.Ack", 2**40, True)
    assert (one.delivery_tag, one.multiple) == (7, False)
    (back,) = _read(frames.give_back(5, 9))
    assert (back.name, back.delivery_tag) == ("Basic.Nack", 9)
    assert (back.multiple, back.requeue) == (False, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _HEADERS,
        {"a": "", "b": "x" * 5000},
        {"number": 5, "list": ["a", 1], "text": "t", "table": {"in": "it"}},
        {"bytes": bytearray(b"\xff\x00"), "yes": True, "none": None},
    ],
)
def test_headers_of_any_kind_are_read(headers: Mapping[str, Any]) -> None:
    said = Basic.Properties(content_type="a", content_encoding="b", headers={**headers}, priority=3)
    assert frames.headers(_header(said)) == headers
    assert frames.headers(_header(Basic.Properties(headers={**headers}))) == headers


def test_properties_without_headers() -> None:
    assert frames.headers(_header(Basic.Properties(message_id="7"))) == {}


@pytest.mark.parametrize("cut", [1, 3, 9, 20])
def test_properties_that_are_broken(cut: int) -> None:
    whole = _header(Basic.Properties(content_type="a/b", headers={**_HEADERS}))
    with pytest.raises(ValueError, match="cannot be read"):
        frames.headers(whole[:-cut])


@pytest.mark.parametrize("piece", [1, 2, 7, 8, 13, 10_000])
def test_what_has_a_tap_never_reaches_the_client_library(piece: int) -> None:
    header = _header(Basic.Properties(headers={**_HEADERS}))
    empty = ContentHeader(0, 0, Basic.Properties()).marshal()
    ours = [_delivered(1, header, b"abc"), _delivered(2, empty, b"")]
    ok = pamqp.frame.marshal(Basic.ConsumeOk("who"), 5)
    theirs = [pamqp.frame.marshal(Heartbeat(), 0), ok, _delivered(9, header, b"abc", channel=6)]
    data = theirs[0] + ours[0] + theirs[1] + ours[1] + theirs[2]
    heard: list[frames.Content] = []

    async def scenario() -> bytes:
        reader = asyncio.StreamReader()
        wire = Wire(reader, asyncio.get_running_loop())
        wire.tap(5, Contents(frames.DELIVER, heard.append))
        for at in range(0, len(data), piece):
            wire.data_received(data[at : at + piece])
        wire.eof_received()
        return await reader.read()

    assert asyncio.run(scenario()) == b"".join(theirs)
    assert [frames.delivery(each.method) for each in heard] == [("who", 1), ("who", 2)]
    assert [each.body for each in heard] == [b"abc", b""]


def test_a_server_of_another_protocol_is_heard() -> None:
    async def scenario() -> bytes:
        reader = asyncio.StreamReader()
        wire = Wire(reader, asyncio.get_running_loop())
        wire.data_received(b"AMQP\x03\x01\x00\x00")
        wire.eof_received()
        return await reader.read()

    assert asyncio.run(scenario()) == b"AMQP\x03\x01\x00\x00"


def _method(frame: Frame) -> bytes:
    return pamqp.frame.marshal(frame, 5)[7:-1]


def test_confirms_of_several_messages() -> None:
    async def scenario() -> None:
        confirms = Confirms()
        take = confirms.tap.take
        waits = asyncio.create_task(confirms.of(["a", "b", "gone", "a", "b"]))
        await asyncio.sleep(0)
        assert take(frames.METHOD, _method(Basic.Return(312, "NO_ROUTE", "", "gone")))
        assert take(frames.HEADER, ContentHeader(0, 0, Basic.Properties()).marshal())
        assert take(frames.METHOD, _method(Basic.Ack(3, multiple=True)))
        assert take(frames.METHOD, _method(Basic.Nack(5)))
        assert not waits.done()
        assert take(frames.METHOD, _method(Basic.Ack(4)))
        assert await waits == [True, True, False, True, False]
        assert confirms.nowhere == {"gone"}
        waits = asyncio.create_task(confirms.of(["a"]))
        await asyncio.sleep(0)
        confirms.end(RuntimeError("gone"))
        with pytest.raises(RuntimeError, match="gone"):
            await waits
        with pytest.raises(RuntimeError, match="gone"):
            await confirms.of(["a"])

    asyncio.run(scenario())
