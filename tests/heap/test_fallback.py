"""Where marks do not hold the heap is frozen, with one clear warning, and never a crash."""

from collections.abc import Callable

import pytest

from onecopy import heap
from tests.heap import alone
from tests.heap.scenarios import fallback


@pytest.mark.parametrize(
    "scenario", alone.scenarios_of(fallback), ids=lambda scenario: scenario.__name__
)
def test_the_heap_is_frozen_only(scenario: Callable[[], None]) -> None:
    alone.run(scenario)


def test_the_self_test_passes_here() -> None:
    tried = heap.self_test()
    assert tried.works
    assert tried.reason is None
    assert "CPython 3." in tried.python
    assert heap.self_test() is tried
