"""Each first use that objects remember, in a child, without a page copied."""

from __future__ import annotations

import ctypes
import datetime as dt
import gc
import weakref
from dataclasses import dataclass

from onecopy import heap
from tests.heap.forked import COPIED, copied_by, in_child, stays_shared

COUNT = 60_000


class Plain:
    def __init__(self, number: int) -> None:
        self.number = number
        self.text = f"text {number}"


class Other(Plain):
    pass


@dataclass(slots=True)
class Slotted:
    number: int
    text: str


def plain_reads() -> None:
    records = {f"key {i}": (f"name {i}", i + 1000, i / 7) for i in range(COUNT)}
    instances = [Plain(i) for i in range(COUNT)]
    slotted = [Slotted(i, f"text {i}") for i in range(COUNT)]

    def use() -> None:
        for key, (name, number, share) in records.items():
            assert records[key] == (name, number, share)
        for each in (*instances, *slotted):
            assert each.text == f"text {each.number}"

    before = copied_by(use)
    assert before > 4 * COPIED, f"the reads copy too little to tell: {before} bytes"
    heap.seal()
    # The children's own objects come to a few megabytes and go: none of it among the sealed.
    stays_shared(use)


def hashes_of_strings_and_bytes() -> None:
    texts = [f"text {i}" for i in range(COUNT)]
    lumps = [b"lump %d" % i for i in range(COUNT)]
    heap.seal()
    stays_shared(lambda: sum(hash(each) & 1 for each in (*texts, *lumps)))


def hashes_of_sets_and_times() -> None:
    sets = [frozenset([i, i + 1]) for i in range(COUNT // 4)]
    days = [dt.date(2000, 1, 1) + dt.timedelta(days=i % 9999) for i in range(COUNT)]
    utc = [dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=i) for i in range(COUNT)]
    steps = [dt.timedelta(seconds=i) for i in range(COUNT)]
    clocks = [dt.time(i % 24, tzinfo=dt.UTC) for i in range(COUNT)]
    heap.seal()
    stays_shared(lambda: [hash(each) & 1 for each in sets + days + utc + steps + clocks][:0])


def a_zone_of_the_user_is_not_asked() -> None:
    class Zone(dt.tzinfo):
        def utcoffset(self, when: dt.datetime | None, /) -> dt.timedelta:
            raise AssertionError("the seal ran the user's code")

    times = [dt.datetime(2000, 1, 1, tzinfo=Zone()), dt.time(1, tzinfo=Zone())]
    heap.seal()
    assert len(times) == 2


def instance_dicts() -> None:
    instances = [Plain(i) for i in range(COUNT)]
    heap.seal(instance_dicts=True)
    stays_shared(lambda: sum(len(vars(each)) for each in instances))


def instance_dicts_of_classes_that_use_them() -> None:
    """One look at one instance is enough, be it the last that the walk comes to."""
    instances = [Plain(i) for i in range(COUNT)]
    others = [Other(i) for i in range(COUNT)]
    assert vars(instances[-1])
    report = heap.seal({"instances": instances, "others": others})
    assert report.types["dict"].objects > COUNT
    stays_shared(lambda: sum(len(vars(each)) for each in instances))
    # No instance of this class was looked at: none was given a dict.
    assert copied_by(lambda: sum(len(vars(each)) for each in others)) > COPIED


def instance_dicts_left_empty() -> None:
    instances = [Plain(i) for i in range(COUNT)]
    assert vars(instances[0])
    heap.seal(instance_dicts=False)
    stays_shared(lambda: sum(each.number + len(each.text) for each in instances))
    assert copied_by(lambda: sum(len(vars(each)) for each in instances)) > COPIED


def strings_too_long_for_their_utf8_to_be_kept() -> None:
    texts = ["ä" * 257 + str(i) for i in range(1000)]
    shorter = ["ä" * 252 + str(i) for i in range(1000)]
    before = heap.size([texts, shorter]).bytes
    heap.seal()
    kept = heap.size([texts, shorter]).bytes - before
    assert 1000 * 504 < kept < 1000 * 520


def utf8_of_strings() -> None:
    words = [f"Straße {i} äöü" for i in range(COUNT)]
    lone = ["\ud800 lone surrogate"] * 10
    heap.seal()
    stays_shared(lambda: [_utf8(word) for word in words][:0])
    in_child(lambda: [repr(word) for word in lone])


def utf8_left_empty() -> None:
    words = [f"Straße {i} äöü" for i in range(COUNT)]
    heap.seal(utf8=False)
    assert copied_by(lambda: [_utf8(word) for word in words][:0]) > COPIED


def _utf8(text: str) -> int:
    length = ctypes.c_ssize_t()
    ask = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
    ask.restype = ctypes.c_void_p
    return ask(ctypes.py_object(text), ctypes.byref(length)) or 0


def weak_references() -> None:
    instances = [Plain(i) for i in range(COUNT)]
    heap.seal(weakrefs=True)

    def use() -> None:
        references = [weakref.ref(each) for each in instances]
        assert all(
            reference() is each for reference, each in zip(references, instances, strict=True)
        )

    stays_shared(use)


def collections_in_a_child() -> None:
    instances = [Plain(i) for i in range(COUNT)]
    heap.seal()
    stays_shared(lambda: [gc.collect() for _ in range(3)])
    assert instances


def allocations_in_a_child() -> None:
    """Holes that temporaries left among the data are not where children put theirs."""
    kept: list[tuple[str, int]] = []
    dropped: list[tuple[str, int]] = []
    for i in range(COUNT * 2):
        kept.append((f"kept {i}", i + 1000))
        dropped.append((f"dropped {i}", i + 1000))
    del dropped
    heap.seal()
    stays_shared(lambda: [(f"own {i}", i + 1000) for i in range(COUNT)])
    assert kept
