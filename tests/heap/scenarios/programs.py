"""Programs go on as before once they are sealed: they change, collect, import, raise, end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import decimal
import enum
import functools
import gc
import importlib
import json
import logging
import re
import sqlite3
import sys
import threading
import traceback

import pytest

from onecopy import heap
from onecopy.heap import _immortal
from tests.heap.forked import fresh, in_child, reached


def changes_to_sealed_objects() -> None:
    table = {i: [i] for i in range(1000)}
    text = fresh("text")
    items = [1, 2, 3]
    heap.seal()

    def use() -> None:
        for i in range(1000):
            table[i].append(i)
        del table[0]
        table["new"] = [text]  # type: ignore[index, assignment]
        table.clear()
        items[:] = [4]
        items.sort()
        assert (items, table, text + "!") == ([4], {}, f"{text}!")
        assert gc.collect() >= 0

    in_child(use)
    use()


def the_language_at_work() -> None:
    class Colour(enum.Enum):
        RED = 1

    @functools.cache
    def cached(number: int) -> int:
        return number * 2

    cached(1)
    pattern = re.compile(r"(\w+)-(?P<number>\d+)")
    lock = threading.Lock()
    local = threading.local()
    local.value = 1
    stack = contextlib.ExitStack()
    heap.seal()

    def use() -> None:
        assert Colour(1) is Colour.RED
        assert [cached(i) for i in range(100)] == [i * 2 for i in range(100)]
        match = pattern.match("word-12")
        assert match is not None
        assert match["number"] == "12"
        with lock, stack:
            assert local.value == 1
        made = type("Made", (dict,), {"__len__": lambda self: 7})  # type: ignore[misc]
        assert len(made()) == 7
        setattr(Colour, fresh("name").replace(" ", "_"), 1)
        assert sys.intern(fresh("interned")) == fresh("interned")
        assert decimal.Decimal(1) / 3 < 1
        assert json.loads(json.dumps({"a": [1, 2.5, None, True]}))["a"][1] == 2.5
        importlib.import_module("colorsys")
        with contextlib.suppress(ZeroDivisionError):
            _ = 1 / 0
        with pytest.raises(ValueError, match="error") as raised:
            raise ValueError(fresh("error"))
        assert traceback.format_exception(raised.value)
        logging.getLogger("sealed").info("quiet")
        with sqlite3.connect(":memory:") as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        connection.close()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            assert list(pool.map(cached, range(5))) == [0, 2, 4, 6, 8]

    use()
    in_child(use)


def event_loops_in_children() -> None:
    heap.seal()

    async def work() -> int:
        return sum(await asyncio.gather(*(asyncio.sleep(0, i) for i in range(10))))

    def use() -> None:
        assert asyncio.run(work()) == 45

    in_child(use)


def a_seal_inside_a_coroutine() -> None:
    async def work() -> list[str]:
        held = [fresh("held by a running coroutine")]
        await asyncio.sleep(0)
        heap.seal()
        reached(held, *held)
        await asyncio.sleep(0)
        return held

    assert asyncio.run(work())


def sealing_again() -> None:
    table: dict[str, object] = {fresh("first"): [fresh("value")]}
    report = heap.seal({"table": table})
    assert report.groups["table"].objects == 4
    later = [fresh("later")]
    table["later"] = later
    again = heap.seal({"table": table})
    reached(later, *later)
    assert again.groups["table"].objects == 7
    assert again.objects < report.objects / 10
    third = heap.seal()
    reached(table, *table.values())
    assert third.objects < report.objects / 10


def sealing_in_a_child() -> None:
    heap.seal()

    def use() -> None:
        own = [fresh("own")]
        heap.seal()
        reached(own, *own)
        in_child(lambda: gc.collect())

    in_child(use)


def _wait_holding(done: threading.Event, held: str) -> None:
    assert done.wait(30)
    assert held


def sealing_with_threads() -> None:
    done = threading.Event()
    held = fresh("held by a thread alone") * 10
    thread = threading.Thread(target=_wait_holding, args=(done, held))
    thread.start()
    heap.seal()
    reached(held)
    done.set()
    thread.join()


def counts_do_not_move() -> None:
    values: list[object] = [fresh("text"), [1], {"a": 1}, (fresh("b"), 1), 10**30, 1.5e300, {1, 2}]
    heap.seal()
    counts = [_immortal.count(value) for value in values]

    def use() -> None:
        for _ in range(1000):
            copies = [*values, *values]
            assert len({id(each) for each in copies}) == len(values)
            _ = [str(each) for each in copies[:3]]
        for value in values:
            _immortal.touch(value, 1000)
        assert [_immortal.count(value) for value in values] == counts

    use()
    in_child(use)


def extensions_of_an_old_abi() -> None:
    """Those built for 3.11 and before count up and down whatever the count is."""
    text, kept = fresh("text"), [fresh("kept")]
    heap.seal()
    count = ctypes.c_int64.from_address(id(text))
    before = count.value
    count.value += 1000
    assert [text, text] == [text] * 2
    count.value -= 1000
    assert count.value == before
    reached(text)
    ctypes.c_uint32.from_address(id(kept)).value -= 2**8 + 4  # it gave back more than it took
    heap.seal()
    reached(kept, *kept)
    in_child(lambda: [text, *kept])


def deep_structures() -> None:
    chain: tuple[object, ...] = ()
    linked: list[object] = []
    nested: dict[str, object] = {}
    for _ in range(300_000):
        chain = (1, chain)
        linked = [linked]
        nested = {"next": nested}
    holder = [chain, linked, nested]
    report = heap.seal({"holder": holder})
    assert report.groups["holder"].objects > 900_000
    reached(chain, linked, nested)


def without_the_small_object_allocator() -> None:
    """PYTHONMALLOC=malloc, as under a sanitizer: there are no pools to fill."""
    table = {fresh(f"key {i}"): i for i in range(1000)}
    heap.seal()
    in_child(lambda: [table[key] for key in table])
