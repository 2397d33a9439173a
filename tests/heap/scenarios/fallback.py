"""A Python on which marks do not hold: frozen only, said once, and nothing breaks."""

from __future__ import annotations

import gc
import sys
import types
import warnings
from collections.abc import Iterator
from itertools import count, repeat
from typing import cast

import pytest

from onecopy import heap
from tests.heap.forked import fresh, in_child


def _seal_twice(expected: str) -> None:
    table = {fresh("key"): [fresh("value")]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = heap.seal({"table": table})
        heap.seal()
    assert not first.immortal
    assert first.reason is not None
    assert expected in first.reason, first.reason
    assert [str(each.message).count(expected) for each in caught] == [1]
    assert caught[0].category is RuntimeWarning
    assert caught[0].filename == __file__
    assert gc.get_freeze_count() > 1000
    assert not heap.self_test().works
    in_child(lambda: [list(value) for value in table.values()])
    with pytest.raises(RuntimeError, match=expected):
        heap.size(table)
    with pytest.raises(RuntimeError, match=expected):
        heap.probe()


def _pretend(extension: object) -> None:
    sys.modules["onecopy.heap._immortal"] = cast("types.ModuleType", extension)
    heap.__dict__["_immortal"] = extension


def no_extension() -> None:
    sys.modules["onecopy.heap._immortal"] = None  # type: ignore[assignment]
    heap.__dict__.pop("_immortal", None)
    _seal_twice("cannot be imported")


def an_unsupported_build() -> None:
    _pretend(types.SimpleNamespace(UNSUPPORTED="this is a free-threaded build of Python"))
    _seal_twice("free-threaded")


def another_python() -> None:
    sys.implementation.name = "pypy"
    _seal_twice("not CPython")


class _Extension:
    """As the extension, with marks that do nothing: what it says of them is given."""

    UNSUPPORTED = None

    def __init__(self, counts: Iterator[int], immortal: bool) -> None:
        self._counts = counts
        self._immortal = immortal

    def mark(self, value: object) -> None: ...

    def touch(self, value: object, times: int) -> None: ...

    def count(self, value: object) -> int:
        return next(self._counts)

    def is_immortal(self, value: object) -> bool:
        return self._immortal


def counts_that_move() -> None:
    _pretend(_Extension(count(), immortal=True))
    _seal_twice("moved when it was used")


def marks_that_are_lost() -> None:
    _pretend(_Extension(repeat(7), immortal=False))
    _seal_twice("does not look immortal")


def marked_objects_that_are_freed() -> None:
    if hasattr(sys, "_is_immortal"):  # from 3.14 on
        sys.__dict__["_is_immortal"] = bool
    _pretend(_Extension(repeat(7), immortal=True))
    _seal_twice("was freed")


def a_self_test_that_raises() -> None:
    _pretend(types.SimpleNamespace(UNSUPPORTED=None))
    _seal_twice("AttributeError")
