"""What messages of anybody's are."""

import json
from typing import Any

import pytest

from onecopy.subscriptions.reading import Delivered, Incoming, Refused, read

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": "order",
    "data": {"text": "x"},
    "traceparent": TRACE,
}


def test_plain_json() -> None:
    message = Delivered({"traceparent": TRACE}, "", b'{"text": "x"}', "m1")
    assert read(message) == Incoming({"text": "x"}, "m1", TRACE)


def test_a_structured_event() -> None:
    kind = "application/cloudevents+json; charset=utf-8"
    message = Delivered({}, kind, json.dumps(EVENT).encode(), "m1")
    assert read(message) == Incoming({"text": "x"}, "/shop 7", TRACE)


@pytest.mark.parametrize("prefix", ["ce_", "cloudEvents_", "cloudEvents:"])
def test_a_binary_event(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in EVENT.items() if name != "data"}
    as_bytes = {name: value.encode() for name, value in headers.items()}
    for each in (headers, as_bytes):
        message = Delivered(each, "application/json", b'{"text": "x"}', "m1")
        assert read(message) == Incoming({"text": "x"}, "/shop 7", TRACE)


@pytest.mark.parametrize(
    ("headers", "kind", "body", "why"),
    [
        ({}, "", b"\xff", "no JSON"),
        ({}, "", b"", "no JSON"),
        ({}, "application/cloudevents+json", b"[1]", "it is none"),
        ({}, "application/cloudevents+json", b'{"specversion": "1.0"}', "without id or source"),
        ({"ce_specversion": b"1.0", "ce_id": b"1"}, "", b"{}", "without id or source"),
        (
            {},
            "application/cloudevents+json",
            json.dumps({**EVENT, "data_base64": "eA=="}).encode(),
            "data_base64",
        ),
    ],
)
def test_what_becomes_no_job(headers: dict[str, object], kind: str, body: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read(Delivered(headers, kind, body, None))
