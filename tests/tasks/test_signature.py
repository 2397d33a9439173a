"""What travels to a task and back, and what is refused when it is declared."""

import enum
import json
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from onecopy.errors import ArgumentsInvalid, DeclarationError, ResultInvalid
from onecopy.tasks.context import JobContext
from onecopy.tasks.progress import Progress
from onecopy.tasks.signature import Signature

INJECT = {Progress: Progress(), JobContext: JobContext(id="an-id")}


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: float
    y: float


class Town(BaseModel):
    name: str
    centre: Point
    founded: date | None = None


class Pair(NamedTuple):
    left: int
    right: str


class Marks:
    """Nothing that JSON can hold."""


def through(hint: Any, value: object) -> object:  # noqa: ANN401  any hint
    """Send a value of a hint as an argument and as a result; both must come through."""

    def work(value: object) -> object:
        return value

    work.__annotations__ = {"value": hint, "return": hint}
    signature = Signature(work, "work")
    args, kwargs = signature.decode(signature.encode((value,), {}), INJECT)
    assert not kwargs
    back = signature.decode_result(signature.encode_result(args[0]))
    assert back == args[0]
    return back


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 2**80),
        (float, 0.1),
        (str, "Zürich \N{MOUNTAIN}"),
        (bool, True),
        (None, None),
        (bytes, b"\x00\xff\xfe"),
        (list[bytes], [b"\xff"]),
        (datetime, datetime(2026, 11, 23, 19, 49, 26, 1, UTC)),
        (timedelta, timedelta(days=2, microseconds=3)),
        (uuid.UUID, uuid.UUID(int=7)),
        (Decimal, Decimal("0.100")),
        (Path, Path("/tmp/cities")),
        (Colour, Colour.BLUE),
        (Literal["a", "b"], "b"),
        (Point, Point(1.5, 2.5)),
        (Town, Town(name="Bern", centre=Point(1, 2), founded=date(1191, 1, 1))),
        (list[Town | None], [None, Town(name="Bern", centre=Point(1, 2))]),
        (Pair, Pair(1, "a")),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (frozenset[str], frozenset({"a"})),
        (dict[str, list[int]], {"a": [1]}),
        (dict[int, str], {1: "a"}),
        (int | str, "1"),
        (int | str, 1),
        (Town | Point, Point(1, 2)),
        (datetime | None, None),
        (Sequence[int], [1, 2]),
        (complex, 1 + 2j),
        (Any, {"a": [1, None, "x"]}),
        (Annotated[int, Field(ge=1)], 3),
    ],
    ids=str,
)
def test_values_come_through_as_what_they_were(hint: object, value: object) -> None:
    back = through(hint, value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_comes_through(value: float) -> None:
    assert through(float, value) == value


def test_what_is_no_number_comes_through() -> None:
    def work(value: float) -> float:
        return value

    signature = Signature(work, "work")
    text = signature.encode((math.nan,), {})
    json.loads(text, parse_constant=pytest.fail)
    [value] = signature.decode(text, INJECT)[0]
    assert isinstance(value, float)
    assert math.isnan(value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ab", min_size=1), st.lists(st.binary(max_size=5), max_size=3)))
@settings(deadline=None)
def test_any_bytes_come_through(value: dict[str, list[bytes]]) -> None:
    assert through(dict[str, list[bytes]], value) == value


@given(values)
@settings(deadline=None)
def test_anything_that_json_has_comes_through(value: object) -> None:
    assert through(Any, value) == value


@pytest.mark.parametrize(
    ("hint", "cure"),
    [
        (Callable[[int], int], "Send a name"),
        (Iterator[int], "list"),
        (Marks, "dataclass"),
        (list[Marks], "dataclass"),
        (dict[str, Marks | None], "dataclass"),
        (np.ndarray, "rows"),
        ("NoSuchName", "in the module"),
    ],
    ids=str,
)
def test_a_hint_that_cannot_travel_is_refused(hint: object, cure: str) -> None:
    def work(fine: int, wrong: object) -> None: ...

    work.__annotations__ = {"fine": int, "wrong": hint, "return": None}
    with pytest.raises(DeclarationError, match="'work' cannot be a task") as caught:
        Signature(work, "work")
    assert cure in str(caught.value)
    if not isinstance(hint, str):
        assert caught.value.parameter == "wrong"


def test_a_result_that_cannot_travel_is_refused() -> None:
    def work() -> Marks:
        return Marks()

    with pytest.raises(DeclarationError, match="its result: Marks cannot travel") as caught:
        Signature(work, "work")
    assert caught.value.parameter == "return"


def test_parameters_that_cannot_be_named_are_refused() -> None:
    def many(*rows: int) -> None: ...
    def named(**rows: int) -> None: ...
    def bare(rows: int) -> None: ...
    def generator() -> Iterator[int]:
        yield 1

    del bare.__annotations__["rows"]
    for function, parameter in ((many, "rows"), (named, "rows"), (bare, "rows"), (generator, None)):
        with pytest.raises(DeclarationError) as caught:
            Signature(function, "work")
        assert caught.value.parameter == parameter


def test_arguments_go_by_name() -> None:
    def work(first: int, /, second: str, *, third: bytes = b"") -> None: ...

    signature = Signature(work, "work")
    text = signature.encode((1, "a"), {"third": b"x"})
    assert json.loads(text) == {"first": 1, "second": "a", "third": "eA=="}
    assert signature.decode(text, INJECT) == ((1, "a"), {"third": b"x"})


def test_defaults_stay_at_home() -> None:
    def work(first: int, second: list[int] | None = None) -> None: ...

    signature = Signature(work, "work")
    assert signature.encode((1,), {}) == '{"first":1}'
    assert signature.decode('{"first":1}', INJECT) == ((1, None), {})


@pytest.mark.parametrize(
    "name", ["schema", "copy", "json", "model_dump", "_private", "self", "cls"]
)
def test_parameters_may_have_any_name(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def work({name}: int) -> int: return {name}", scope)
    signature = Signature(scope["work"], "work")
    assert json.loads(signature.encode((3,), {})) == {name: 3}
    assert signature.decode(signature.encode((3,), {}), INJECT) == ((3,), {})


def test_injected_parameters_are_no_part_of_the_message() -> None:
    def first(progress: Progress, rows: list[int]) -> None: ...
    def last(rows: list[int], progress: Progress, context: JobContext) -> None: ...
    def optional(rows: list[int], progress: Progress | None = None) -> None: ...
    def named(rows: list[int], *, context: JobContext) -> None: ...

    progress, context = INJECT[Progress], INJECT[JobContext]
    expectations: list[tuple[Callable[..., None], object]] = [
        (first, ((progress, [1]), {})),
        (last, (([1], progress, context), {})),
        (optional, (([1], progress), {})),
        (named, (([1],), {"context": context})),
    ]
    for function, expected in expectations:
        signature = Signature(function, "work")
        text = signature.encode(([1],), {})
        assert text == '{"rows":[1]}'
        assert signature.decode(text, INJECT) == expected
        assert set(signature.arguments_schema()["properties"]) == {"rows"}


def test_arguments_that_do_not_fit_are_refused_at_both_ends() -> None:
    def work(rows: list[int], town: Town | None = None) -> None: ...

    signature = Signature(work, "work")
    with pytest.raises(ArgumentsInvalid, match=r"rows\.1: .* and") as caught:
        signature.encode((["1", "x", None, "y", "z", "z"],), {})
    assert caught.value.errors[0]["loc"] == ("rows", 1)
    with pytest.raises(TypeError, match="rows"):
        signature.encode((), {})
    for text in ("{}", '{"rows": 1}', '{"rows": [], "other": 1}', "[]", "", "{", b"\xff"):
        with pytest.raises(ArgumentsInvalid):
            signature.decode(text, INJECT)
        with pytest.raises(ArgumentsInvalid):
            signature.normalise(text)


def test_what_cannot_be_written_is_refused_when_it_is_sent() -> None:
    def work(anything: Any) -> None: ...  # noqa: ANN401

    signature = Signature(work, "work")
    with pytest.raises(ArgumentsInvalid, match="Marks"):
        signature.encode((Marks(),), {})
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ArgumentsInvalid):
        signature.encode((circle,), {})
    with pytest.raises(ArgumentsInvalid):
        signature.encode(("\ud800",), {})


def test_a_result_that_does_not_fit_is_refused() -> None:
    def work() -> list[int]: ...

    signature = Signature(work, "work")
    with pytest.raises(ResultInvalid, match="valid list"):
        signature.encode_result("x")
    with pytest.raises(ResultInvalid):
        signature.decode_result('"x"')


def test_a_result_without_a_hint_is_what_json_has() -> None:
    signature = Signature(lambda: 1, "work")
    assert signature.decode_result(signature.encode_result({"a": (1, 2)})) == {"a": [1, 2]}
    with pytest.raises(ResultInvalid, match="Marks"):
        signature.encode_result(Marks())


def test_normalised_arguments_are_those_that_a_call_would_send() -> None:
    def work(first: int, second: Point) -> None: ...

    signature = Signature(work, "work")
    text = signature.encode((1, Point(1, 2)), {})
    assert signature.normalise(' {"second": {"y": 2, "x": 1.0}, "first": "1"} ') == text


def test_the_schema_is_of_what_travels() -> None:
    def work(town: Town, limit: int = 3, *, progress: Progress) -> list[Town]: ...

    schema = Signature(work, "work").arguments_schema()
    assert schema["required"] == ["town"]
    assert schema["properties"]["limit"] == {"title": "Limit", "type": "integer", "default": 3}
    assert schema["additionalProperties"] is False
    assert Signature(work, "work").result_schema()["type"] == "array"
