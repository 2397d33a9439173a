"""From where pydantic found a fault to a JSON Pointer."""

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from onecopy.http.pointers import pointer


class Point(BaseModel):
    x: int


class Line(BaseModel):
    ends: list[Point | int]
    names: dict[str, int] = {}


NAMES = ("a~1b", "~0", "")


CASES: list[tuple[object, set[str]]] = [
    ({}, {"/ends"}),
    ({"ends": 3}, {"/ends"}),
    ({"ends": [{"x": "a"}]}, {"/ends/0/x", "/ends/0"}),
    ({"ends": [1, {}]}, {"/ends/1/x", "/ends/1"}),
    ({"ends": [], "names": {"a/b": "x", "~": None, "": "y"}}, {f"/names/{n}" for n in NAMES}),
    ([], {""}),
]


@pytest.mark.parametrize(("body", "pointers"), CASES)
def test_a_pointer_leads_to_the_fault(body: object, pointers: set[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Line).validate_python(body)
    found = {
        pointer(fault["loc"], body, missing=fault["type"] == "missing")
        for fault in caught.value.errors()
    }
    assert found == pointers


def test_steps_that_are_not_in_the_body_are_left_out() -> None:
    assert pointer(("a", "function-wrap[f()]", 0, "int"), {"a": [1]}) == "/a/0"
    assert pointer(("a", 7), {"a": [1]}) == "/a"
    assert pointer(("a", "b"), {"a": 3}) == "/a"
