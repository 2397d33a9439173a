"""The Prefer and Idempotency-Key headers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecopy.http.preferences import Preferences, read_idempotency_key, read_preferences


@pytest.mark.parametrize(
    ("headers", "wait", "respond_async"),
    [
        ([], None, False),
        ([""], None, False),
        (["wait=5"], 5, False),
        (["WAIT = 5"], 5, False),
        (['wait="5"'], 5, False),
        (["respond-async"], None, True),
        (["respond-async, wait=10"], 10, True),
        (["respond-async", "wait=10"], 10, True),
        (["wait=1, wait=2"], 1, False),
        (["wait=x, wait=2"], None, False),
        (["wait=10; foo=bar; x"], 10, False),
        (['return=minimal, foo; some="a, wait=9", wait=3'], 3, False),
        (['foo="wait=9", respond-async'], None, True),
        (["wait"], None, False),
        (["wait="], None, False),
        (["wait=-1"], None, False),
        (["wait=1.5"], None, False),
        (["wait=\u0665"], None, False),
        (["wait=99999999999999999999"], None, False),
        (["respond-async=yes"], None, True),
        (["wait=5 6"], None, False),
        ([",,, wait=4 ,,"], 4, False),
    ],
)
def test_what_is_preferred(headers: list[str], wait: int | None, respond_async: bool) -> None:
    assert read_preferences(headers) == Preferences(wait, respond_async)


@given(st.lists(st.text(st.sampled_from('wait=5,;" \\respond-async'), max_size=60), max_size=3))
@settings(deadline=None)
def test_no_header_is_an_error(headers: list[str]) -> None:
    found = read_preferences(headers)
    assert found.wait is None or found.wait >= 0


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e"', "8e03978e"),
        ("8e03978e", "8e03978e"),
        (' "a b" ', "a b"),
        (r'"a\"b\\c"', r"a\"b\c".replace(r"\"", '"')),
        ('"a";foo=1', "a"),
        ("", None),
        ('""', None),
        ("a\tb", None),
        ("x" * 255, "x" * 255),
        ("x" * 256, None),
        ("\u00e9", None),
    ],
)
def test_a_key_may_be_quoted_or_bare(header: str, key: str | None) -> None:
    assert read_idempotency_key(header) == key
