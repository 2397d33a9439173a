"""Messages that are of no job, as others may put them into a queue of Celery's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

from kombu import Connection, Producer

from onecopy.engines.celery_message import body_of, headers_of
from onecopy.testing._engines import due_job


class Poison(NamedTuple):
    """What is odd in a message that is else as ours are; headers None: it has none at all."""

    headers: Mapping[str, object] | None = MappingProxyType({})
    body: str | bytes | None = None
    content_type: str = "application/json"


ALL: Final = {
    "of no job": Poison(),
    "of no task": Poison({"task": "no.such.task"}),
    "of a list of tasks": Poison({"task": ["add"]}),
    "of a list of tasks, as Celery 3 sent it": Poison(
        None, '{"id": "7", "task": ["add"], "args": []}'
    ),
    "without an id": Poison({"id": None}),
    "an odd id": Poison({"id": [7]}),
    "half a character": Poison({"id": "\ud800"}),
    "odd limits": Poison({"timelimit": 7}),
    "odd stamps": Poison({"stamped_headers": 7}),
    "due at no time": Poison({"eta": "yesterday"}),
    "compressed somehow": Poison({"compression": "by-hand"}),
    "without headers": Poison(None),
    "cut off": Poison(body='[[], {"x": 1'),
    "not UTF-8": Poison(body=b"\xff\x00"),
    "a number": Poison(body="7"),
    "a short list": Poison(body="[1]"),
    "pickled": Poison({}, b"cos\nabort\n(tR.", "application/x-python-serialize"),
    "of no kind": Poison({}, "?", "text/unknown"),
}


def put(broker: str, task: str, poison: Poison) -> None:
    """Send it into the queue `default` of a broker; it names a task."""
    job = due_job()
    headers = {**headers_of(job), "task": task}
    with cast("Any", Connection)(broker) as connection:
        cast("Any", Producer)(connection.default_channel).publish(
            body_of(job) if poison.body is None else poison.body,
            exchange="",
            routing_key="default",
            headers=None if poison.headers is None else {**headers, **poison.headers},
            content_type=poison.content_type,
            content_encoding="utf-8",
        )
