"""What a seal and a probe tell."""

from __future__ import annotations

import gc
import os
import sys
from typing import cast

import pytest

from onecopy import heap
from tests.heap.forked import fresh


class Place:
    def __init__(self, name: str) -> None:
        self.name = name


def seal_tells_types_and_groups() -> None:
    shared = [fresh("shared")]
    places: dict[str, Place] = {fresh(f"key {i}"): Place(fresh(f"name {i}")) for i in range(1000)}
    report = heap.seal({"places": places, "both": [shared], "again": [shared]})
    assert report.immortal
    assert report.reason is None
    assert 0 < report.seconds < 30
    assert report.types["tests.heap.scenarios.reports.Place"].objects == 1000
    assert report.types["str"].bytes > 1000 * 2 * 50
    assert report.objects == sum(each.objects for each in report.types.values())
    assert report.bytes == sum(each.bytes for each in report.types.values())
    # the dict; a key, an instance and its attribute each
    assert report.groups["places"].objects == 1 + 3 * 1000
    assert report.groups["both"].objects == 3
    assert report.groups["again"].objects == 1


def sizes_are_those_of_the_interpreter() -> None:
    values: list[object] = [
        fresh("ascii"),
        fresh("größer"),
        fresh("日本"),
        b"bytes" * 9,
        10**50,
        -1,
        2.5,
        1j,
        (1, 2, 3),
        [1, 2, 3],
        {"a": 1},
        {i: str(i) for i in range(1000)},
        dict.fromkeys(map(str, range(1000))),
        set(range(100)),
        frozenset("abc"),
        bytearray(50),
        slice(1),
    ]
    for value in values:
        alone = heap.size(value).bytes - sum(heap.size(part).bytes for part in _parts(value))
        assert alone == sys.getsizeof(value), f"{value!r:.40}: {alone}, {sys.getsizeof(value)}"
    empty: list[object] = []
    pair = [empty, list(empty)]
    assert heap.size(pair) == heap.Tally(3, sys.getsizeof(pair) + 2 * sys.getsizeof(empty))
    circle: list[object] = []
    circle.append(circle)
    assert heap.size(circle).objects == 1


def _parts(value: object) -> list[object]:
    """What a value refers to, each once, as the collector shows it."""
    found = gc.get_referents(value)
    if isinstance(value, dict):  # whose keys it does not show
        found += list(cast("dict[object, object]", value))
    return list({id(each): each for each in found}.values())


def programs_are_not_part_of_data() -> None:
    class Local:
        def method(self) -> None: ...

    made = Local()
    assert heap.size([made, made.method, Local, sys, len, heap.size]).objects <= 4
    assert sys.getrefcount(made) < 10


def probe_tells_what_is_copied() -> None:
    from onecopy.heap import probe

    places = [Place(fresh(f"name {i}")) for i in range(50_000)]
    before = probe()
    assert before.share < 0.5
    assert before.lost_bytes > 5_000_000
    assert before.types["tests.heap.scenarios.reports.Place"].objects == 50_000
    assert next(iter(before.types)) in {"str", "dict", "tests.heap.scenarios.reports.Place"}
    heap.seal()
    after = probe()
    assert after.share > 0.97
    assert "tests.heap.scenarios.reports.Place" not in after.types
    assert sum(each.bytes for each in after.types.values()) < 1_000_000
    assert after.seconds < 30
    assert places


def probe_names_what_a_seal_missed() -> None:
    from onecopy.heap import probe

    heap.seal()
    later = [Place(fresh(f"name {i}")) for i in range(20_000)]
    found = probe()
    assert found.types["tests.heap.scenarios.reports.Place"].objects == 20_000
    assert later


def probe_of_a_walker_that_ends_the_child() -> None:
    def walk(place: Place) -> list[object]:
        os._exit(9)

    kept = Place("name")
    heap.register_walker(Place, walk)
    with pytest.raises(RuntimeError, match="exit code 9"):
        heap.probe()
    assert kept
