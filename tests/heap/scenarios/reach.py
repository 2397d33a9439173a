"""What the walk must find, where `tp_traverse` does not show it."""

from __future__ import annotations

import atexit
import collections
import datetime as dt
import functools
import gc
import importlib
import sys
import types
import weakref
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from onecopy import heap
from tests.heap.forked import fresh, in_child, reached, stays_shared


def keys_and_values_of_dicts() -> None:
    plain = {fresh(f"key {i}"): [i] for i in range(1000)}
    default: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
    ordered: collections.OrderedDict[str, str] = collections.OrderedDict()
    counter: collections.Counter[str] = collections.Counter()

    class Registry(dict[str, str]):
        pass

    own = Registry()
    for i in range(100):
        default[fresh(f"default {i}")].append(i)
        ordered[fresh(f"ordered {i}")] = fresh(f"value {i}")
        counter[fresh(f"counted {i}")] += i
        own[fresh(f"own {i}")] = fresh(f"value {i}")
    heap.seal()
    for each in (plain, default, ordered, counter, own):
        reached(each, *each.keys(), *each.values())


def items_of_untracked_tuples() -> None:
    nested = [((fresh(f"a {i}"), i), (fresh(f"b {i}"), float(i))) for i in range(1000)]
    heap.seal()
    for outer in nested:
        reached(outer, *outer, *outer[0], *outer[1])


def attributes_of_instances() -> None:
    class Plain:
        def __init__(self, number: int) -> None:
            self.text = fresh(f"plain {number}")

    class Slotted:
        __slots__ = ("text",)

        def __init__(self, number: int) -> None:
            self.text = fresh(f"slotted {number}")

    @dataclass
    class Data:
        text: str

    class Named(NamedTuple):
        text: str

    class Text(str):
        extra: str

    made: list[Any] = [Plain(1), Slotted(1), Data(fresh("data")), Named(fresh("named"))]
    text = Text(fresh("text"))
    text.extra = fresh("extra")
    heap.seal()
    reached(*made, *(each.text for each in made), text, text.extra)
    reached(Plain, Slotted, Data, Named, Text)


def fields_of_code() -> None:
    lines = ["def outer():", " def inner(of):", "  return 'a constant', of.name", " return inner"]
    namespace: dict[str, Any] = {}
    exec(compile("\n".join(lines), fresh("file"), "exec"), namespace)
    inner: types.FunctionType = namespace["outer"]()
    code = inner.__code__
    _ = code.co_varnames, code.co_code  # fills the code object's own cache
    heap.seal()
    reached(code, code.co_filename, code.co_name, code.co_qualname, code.co_linetable)
    reached(code.co_consts, code.co_names, code.co_exceptiontable, *code.co_consts, *code.co_names)
    reached(code.co_varnames, code.co_code)


def names_of_types_and_descriptors() -> None:
    name = fresh("Made at run time").replace(" ", "_")
    slot = fresh("slot").replace(" ", "_")
    made: type[Any] = type(name, (), {"__slots__": (slot,), "__module__": fresh("module")})
    heap.seal()
    reached(made, made.__name__, made.__qualname__, made.__module__, made.__dict__[slot])
    reached(made.__dict__[slot].__name__, *made.__mro__)
    reached(sys.float_info, type(sys.float_info), dict.__dict__["get"], types.MethodDescriptorType)


def attribute_names_that_no_code_has() -> None:
    class Record:
        pass

    name = fresh("attribute").replace(" ", "_")
    records = [Record() for _ in range(10)]
    for record in records:
        setattr(record, name, 1)
    heap.seal(instance_dicts=False)
    reached(*vars(records[0]))


def bounds_of_ranges_and_zones_of_times() -> None:
    numbers = range(10**20, 10**21, 10**19)
    offset = dt.timedelta(hours=1, microseconds=17)
    zone = dt.timezone(offset, fresh("zone"))
    when = dt.datetime(2026, 1, 1, tzinfo=zone)
    clock = dt.time(12, tzinfo=dt.timezone(dt.timedelta(hours=3, microseconds=9)))
    berlin = dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    heap.seal()
    reached(numbers.start, numbers.stop, numbers.step)
    reached(when, when.tzinfo, offset, zone.tzname(None), clock, clock.tzinfo)
    reached(berlin, berlin.tzinfo)


def locals_of_running_frames() -> None:
    large = fresh("held by a local alone") * 100
    numbers = bytearray(1000)

    def seal_below(argument: bytes) -> None:
        heap.seal()
        reached(large, numbers, argument)

    class Body:
        # The namespace of a class that is being made is held by its frame alone.
        held = fresh("held by a class body")
        heap.seal()
        reached(held)

    seal_below(b"an argument" * 10)
    assert Body.held


def suspended_frames() -> None:
    def generate() -> Iterator[str]:
        held = fresh("held by a generator")
        yield held
        yield held

    generator = generate()
    held = next(generator)
    heap.seal()
    reached(held)


def what_was_frozen_before_and_only_c_refers_to() -> None:
    held = [fresh("held by an iterator")]
    hook = functools.partial(list[str], held)
    atexit.register(hook)
    seen = weakref.ref(hook)
    del hook
    gc.freeze()
    heap.seal()
    reached(seen())


def numpy_arrays() -> None:
    import numpy as np

    words: Any = np.array([fresh(f"word {i}") for i in range(1000)], dtype=object)
    view = words[::-1][10:20].reshape(2, 5)
    records: Any = np.zeros(10, dtype=[("name", object), ("number", "i8")])
    for i in range(10):
        records[i] = (fresh(f"record {i}"), i)
    numbers = np.arange(100_000.0)
    scalar: Any = np.array(None, dtype=object)
    scalar[()] = [fresh("in an array of no dimension")]
    empty = np.empty((3, 0), dtype=object)
    heap.seal()
    reached(words, *words, view, view.base, *view.flat, records, *records["name"])
    reached(numbers, numbers.dtype, scalar[()], empty, words.dtype, records.dtype.names)
    stays_shared(lambda: [hash(word) for word in words] + [numbers.sum(), len(records["name"])])


def pandas_frames() -> None:
    pd: Any = importlib.import_module("pandas")  # it has no types

    frame: Any = pd.DataFrame(
        {
            "word": pd.Series([fresh(f"word {i}") for i in range(1000)], dtype=object),
            "number": range(1000),
        },
        index=pd.Index([fresh(f"row {i}") for i in range(1000)], dtype=object),
    )
    words: list[object] = list(frame["word"])
    rows: list[object] = list(frame.index)
    heap.seal()
    reached(frame, *words, *rows)

    def use() -> None:
        assert frame["number"].sum() == 499500
        assert list(frame["word"]) == words
        assert frame.loc[str(rows[7]), "number"] == 7

    in_child(use)


def everything_is_reached_from_the_type_on() -> None:
    class Meta(type):
        pass

    class Made(metaclass=Meta):
        pass

    one = Made()
    heap.seal()
    reached(one, Made, Meta, type, object)
