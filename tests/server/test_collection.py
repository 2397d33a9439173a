"""The garbage collector runs rarely while data is loaded, and as before afterwards."""

import gc
from collections.abc import Iterator

import pytest

from onecopy.server.collection import rare_collections


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def collections_of(count: int) -> int:
    """How often the collector runs while so many objects are made and kept."""
    before = sum(generation["collections"] for generation in gc.get_stats())
    kept: list[list[int]] = [[number] for number in range(count)]
    assert len(kept) == count
    return sum(generation["collections"] for generation in gc.get_stats()) - before


def test_collections_are_rare_while_data_is_loaded() -> None:
    often = collections_of(300_000)
    with rare_collections():
        rarely = collections_of(300_000)
    assert 0 < rarely < often / 20


def test_circular_garbage_is_still_collected() -> None:
    with rare_collections():
        for _ in range(300_000):
            circle: list[object] = []
            circle.append(circle)
        assert gc.get_count()[0] < 200_000


def test_the_thresholds_are_as_before_afterwards_also_after_an_error() -> None:
    with pytest.raises(KeyError), rare_collections():
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)


def test_thresholds_that_the_loader_sets_itself_stay() -> None:
    with rare_collections():
        gc.set_threshold(5000, 5, 5)
    assert gc.get_threshold() == (5000, 5, 5)


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with rare_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
