"""A job as JSON: its times."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy.representation import rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1732391366.12, "2024-11-23T19:49:26.120Z"),
        (1732391366.9999999, "2024-11-23T19:49:27.000Z"),
        (1732391366.0005, "2024-11-23T19:49:26.000Z"),
    ],
)
def test_times_are_in_utc_to_the_millisecond(seconds: float | None, text: str | None) -> None:
    assert rfc3339(seconds) == text


@given(st.floats(0, 4e9))
def test_a_time_comes_back(seconds: float) -> None:
    text = rfc3339(seconds)
    assert text is not None
    assert abs(datetime.fromisoformat(text).timestamp() - seconds) <= 0.001
