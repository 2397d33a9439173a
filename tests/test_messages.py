"""The envelope of a job: what is written can be read, and nothing else can."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from onecopy import messages
from onecopy.messages import InvalidMessage, Message

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def example(**changes: Any) -> Message:  # noqa: ANN401  any attribute of any type
    values: dict[str, Any] = {
        "source": "/geocoder/web-1",
        "time": datetime(2026, 11, 23, 19, 49, 26, 120000, UTC),
        "data": {"rows": ["Bern"]},
        "traceparent": TRACE,
    }
    return Message.of("an-id", "geocode", **(values | changes))


def test_the_envelope_is_the_standards() -> None:
    assert json.loads(messages.write(example())) == {
        "specversion": "1.0",
        "id": "an-id",
        "source": "/geocoder/web-1",
        "type": "onecopy.job.accepted",
        "subject": "geocode",
        "time": "2026-11-23T19:49:26.120000Z",
        "datacontenttype": "application/json",
        "data": {"rows": ["Bern"]},
        "traceparent": TRACE,
    }


def test_what_is_written_can_be_read() -> None:
    message = example(tracestate="vendor=1")
    assert messages.read(messages.write(message)) == message


def test_attributes_that_others_add_are_left_alone() -> None:
    text = json.loads(messages.write(example())) | {"partitionkey": "a", "sequence": 3}
    assert messages.read(json.dumps(text)) == example()


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("specversion", "0.3"),
        ("id", ""),
        ("id", 7),
        ("id", "a\nb"),
        ("source", "not a reference"),
        ("type", "another.type"),
        ("subject", ""),
        ("time", "yesterday"),
        ("time", "2026-11-23T19:49:26"),
        ("datacontenttype", "text/plain"),
        ("data", ["Bern"]),
        ("data", "Bern"),
        ("traceparent", "00-1-2-03"),
    ],
)
def test_a_wrong_attribute_is_refused_by_its_name(attribute: str, value: JsonValue) -> None:
    text = json.loads(messages.write(example())) | {attribute: value}
    with pytest.raises(InvalidMessage, match=f"^{attribute}: "):
        messages.read(json.dumps(text))


@pytest.mark.parametrize("attribute", ["id", "source", "subject", "time", "data"])
def test_a_missing_attribute_is_refused_by_its_name(attribute: str) -> None:
    text = json.loads(messages.write(example()))
    del text[attribute]
    with pytest.raises(InvalidMessage, match=attribute):
        messages.read(json.dumps(text))


def test_what_cannot_be_read_cannot_be_made() -> None:
    with pytest.raises(InvalidMessage, match="time"):
        example(time=datetime(2026, 11, 23))  # noqa: DTZ001  a time without a zone
    with pytest.raises(InvalidMessage, match="data"):
        example(data={"rows": {1, 2}})
    with pytest.raises(InvalidMessage, match="traceparent"):
        example(traceparent="of no use")


def test_a_message_cannot_be_changed() -> None:
    message = example()
    with pytest.raises(ValidationError):
        message.id = "another"


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=50)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(
    texts,
    texts,
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
        min_value=datetime(1971, 1, 1),  # noqa: DTZ001  hypothesis wants it so
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    ),
    st.dictionaries(texts, values, max_size=5),
)
@settings(deadline=None)
def test_any_job_comes_through(
    job: str, task: str, time: datetime, data: dict[str, JsonValue]
) -> None:
    message = Message.of(job, task, source="/s", time=time, data=data)
    assert messages.read(messages.write(message)) == message


@given(st.binary(max_size=200) | st.text(max_size=200))
@settings(deadline=None)
def test_noise_is_refused_and_nothing_else_happens(text: bytes | str) -> None:
    with pytest.raises(InvalidMessage):
        messages.read(text)


@given(st.dictionaries(st.sampled_from([*Message.model_fields, "subject"]), values))
@settings(deadline=None)
def test_an_object_is_a_message_or_is_refused(attributes: dict[str, JsonValue]) -> None:
    try:
        message = messages.read(json.dumps(attributes))
    except InvalidMessage:
        return
    assert messages.read(messages.write(message)) == message


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_data_comes_through_or_is_refused(depth: int) -> None:
    data = "[" * depth + "]" * depth
    text = messages.write(example()).replace(b'["Bern"]', data.encode())
    try:
        message = messages.read(text)
    except InvalidMessage:
        return
    assert messages.read(messages.write(message)) == message
