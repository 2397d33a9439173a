"""A job on its way by a broker."""

import pytest
from msgspec.structs import replace

from onecopy.engines import Rung
from onecopy.engines.cloud_events import LARGEST, data, headers, named
from onecopy.messages import InvalidMessage
from onecopy.testing._engines import due_job

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_is_written_is_read() -> None:
    job = replace(due_job(), task="géocode", traceparent=TRACE)
    written = headers(job, "ce_")
    assert written["ce_traceparent"] == written["traceparent"] == TRACE
    as_bytes = {name: value.encode() for name, value in written.items()}
    assert named(written, "ce_") == named(as_bytes, "x_", "ce_") == Rung(job.id, "géocode")


def test_large_arguments_stay_in_the_store() -> None:
    job = due_job()
    assert data(replace(job, arguments='{"rows": []}')) == b'{"rows": []}'
    assert len(data(replace(job, arguments="x" * LARGEST))) == LARGEST
    assert data(replace(job, arguments="x" * 1_000_000)) == b""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "no CloudEvent"),
        ({"ce_specversion": "1.0"}, "no header ce_type"),
        ({"ce_specversion": "1.0", "ce_type": "order"}, "its type is 'order'"),
        ({"ce_specversion": "1.0", "ce_type": b"\xff"}, "not UTF-8"),
        ({"ce_specversion": "1.0", "ce_type": "onecopy.job.accepted", "ce_id": 5}, "ce_id"),
    ],
)
def test_what_names_no_job(given: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidMessage, match=why):
        named(given, "ce_")
