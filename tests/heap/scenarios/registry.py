"""Types of extension modules: `hidden` is tests/heap/native/hidden.c, built by the tests."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import pytest

from onecopy import heap
from tests.heap.forked import fresh, in_child, not_marked, reached


class _Holder(Protocol):
    """Both types of the module."""

    def __init__(self, value: object) -> None: ...

    @property
    def value(self) -> list[object]: ...


class _Module(Protocol):
    Shown: type[_Holder]
    Hidden: type[_Holder]


def _module() -> _Module:
    return cast("_Module", importlib.import_module("hidden"))


def shown_without_the_collector() -> None:
    holders = [_module().Shown([fresh(f"shown {i}")]) for i in range(100)]
    heap.seal()
    reached(*holders, *(each.value for each in holders), *(each.value[0] for each in holders))


def hidden_is_reported() -> None:
    holders = [_module().Hidden(bytes(1000)) for _ in range(100)]
    report = heap.seal()
    reached(*holders)
    not_marked(*(each.value for each in holders))
    assert report.unwalkable["hidden.Hidden"] == heap.Tally(100, 2400)
    assert "hidden.Shown" not in report.unwalkable


def hidden_with_a_walker() -> None:
    derive = cast("Callable[..., type[_Holder]]", type)
    derived_type = derive("Derived", (_module().Hidden,), {})

    def walk(holder: _Holder) -> Iterator[object]:
        yield holder.value

    heap.register_walker(_module().Hidden, walk)
    holders = [_module().Hidden([fresh(f"hidden {i}")]) for i in range(100)]
    derived = derived_type([fresh("derived")])
    assert heap.size(holders).objects == 1 + 100 * 3
    report = heap.seal()
    reached(*holders, *(each.value[0] for each in holders), derived, derived.value[0])
    assert "hidden.Hidden" not in report.unwalkable
    in_child(lambda: [each.value for each in holders])


def a_walker_that_raises() -> None:
    def walk(holder: _Holder) -> Iterator[object]:
        yield holder.value
        raise LookupError("no such part")

    heap.register_walker(_module().Hidden, walk)
    holders = [_module().Hidden([fresh(f"hidden {i}")]) for i in range(100)]
    after = [fresh("after")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = heap.seal()
    assert report.immortal
    reached(*(each.value[0] for each in holders), *after)
    assert [str(each.message) for each in caught] == [
        (
            "The walker for hidden.Hidden raised LookupError: no such part. "
            "What such objects hold may not be shared."
        )
    ]


def a_walker_that_is_interrupted() -> None:
    def walk(holder: _Holder) -> list[object]:
        raise KeyboardInterrupt

    holders = [_module().Hidden([fresh("hidden")])]
    heap.register_walker(_module().Hidden, walk)
    with pytest.raises(KeyboardInterrupt):
        heap.size(holders)
    with pytest.raises(KeyboardInterrupt):
        heap.seal()
    heap.register_walker(_module().Hidden, lambda holder: [holder.value])
    assert heap.seal().immortal
    reached(holders[0].value)


def a_walker_that_changes_what_is_walked() -> None:
    held: list[object] = [_module().Hidden(None) for _ in range(1000)]
    table: dict[object, object] = {fresh(f"key {i}"): [i] for i in range(1000)}

    def walk(holder: _Holder) -> list[object]:
        if held:
            held.pop()
            table.clear()
        return [fresh("temporary")]

    heap.register_walker(_module().Hidden, walk)
    heap.size([held, table])
    heap.seal()
    in_child(lambda: (held, table))
