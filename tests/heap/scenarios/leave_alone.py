"""What must not be marked, and goes on to work after a seal."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
import tempfile
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

from onecopy import heap
from tests.heap.forked import fresh, in_child, not_marked, reached


def _seal_and(value: str) -> str:
    heap.seal()
    return value


def half_built_tuples_and_frozensets() -> None:
    texts = [fresh(f"text {i}") for i in range(20)]
    built = tuple(_seal_and(text) if i == 10 else text for i, text in enumerate(texts))
    assert built == tuple(texts)
    frozen = frozenset(_seal_and(text) if i == 10 else text for i, text in enumerate(texts))
    assert frozen == set(texts)

    def count(*values: str) -> int:
        return len(values)

    assert count(*(_seal_and(text) if i == 5 else text for i, text in enumerate(texts))) == 20
    as_list = [_seal_and(text) if i == 3 else text for i, text in enumerate(texts)]
    assert as_list == texts
    in_child(lambda: texts.index(built[-1]))


def owned_tuples_are_marked() -> None:
    owned = (fresh("a"), [fresh("b")])
    frozen = frozenset([fresh("c"), fresh("d")])
    holder = [owned, frozen]
    heap.seal()
    reached(holder, owned, *owned, *owned[1], frozen, *frozen)


def suspended_generators() -> None:
    ended: list[str] = []

    def generate() -> Generator[int]:
        try:
            yield 1
        finally:
            ended.append("generator")

    async def arrive() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("coroutine")

    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("async generator")

    generators = [generate() for _ in range(100)]
    assert [next(each) for each in generators] == [1] * 100
    loop = asyncio.new_event_loop()
    task = loop.create_task(arrive())
    streaming = stream()
    loop.run_until_complete(streaming.__anext__())
    report = heap.seal()
    not_marked(*generators, streaming)
    assert report.left_out["generator"].objects >= 100
    assert "finally" in report.left_out["generator"].reason
    generators.clear()
    assert ended == ["generator"] * 100
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.run_until_complete(streaming.aclose())  # type: ignore[attr-defined]
    loop.close()
    assert ended[100:] == ["coroutine", "async generator"]


def views_let_go_of_their_buffer() -> None:
    buffer = bytearray(100)
    held = [memoryview(buffer), memoryview(buffer)[10:20], pickle.PickleBuffer(buffer)]
    heap.seal()
    not_marked(*held)
    reached(buffer)
    held.clear()
    buffer.extend(b"more")  # BufferError if one of them were still there
    assert len(buffer) == 104


def frames_and_what_they_drop() -> None:
    class Plain:
        pass

    def generate() -> Iterator[Plain]:
        yield Plain()

    # A frame is not marked: what a function makes after the seal is freed when it returns.
    heap.seal()
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]
    not_marked(frame)

    def call() -> weakref.ref[Plain]:
        made = next(generate())
        return weakref.ref(made)

    assert call()() is None


def what_the_seal_is_given_pins_nothing() -> None:
    class Plain:
        pass

    groups: dict[str, object] = {"one": [Plain()]}
    heap.seal(groups)
    later = Plain()
    seen = weakref.ref(later)
    groups["later"] = later
    heap.seal()
    # The second seal met it. What came after it did not.
    reached(later)
    newest = Plain()
    seen = weakref.ref(newest)
    groups["newest"] = newest
    del groups["newest"], newest
    assert seen() is None


def files_are_closed_when_dropped() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.txt"
        file = path.open("w")
        binary = path.open("rb")
        holder = [file, file.buffer, binary]
        report = heap.seal()
        not_marked(*holder)
        assert report.left_out["_io.TextIOWrapper"].objects >= 1
        file.write("text")
        file.close()
        binary.close()
        assert path.read_text() == "text"


def weak_references_and_finalizers() -> None:
    class Plain:
        pass

    sealed = Plain()
    reference = weakref.ref(sealed)
    by_key: weakref.WeakKeyDictionary[Plain, str] = weakref.WeakKeyDictionary({sealed: "value"})
    by_value: weakref.WeakValueDictionary[str, Plain] = weakref.WeakValueDictionary({"key": sealed})
    heap.seal()

    def use() -> None:
        assert reference() is sealed
        assert by_key[sealed] == "value"
        assert by_value["key"] is sealed
        mortal = Plain()
        by_key[mortal] = "mortal"
        by_value["mortal"] = mortal
        del mortal
        gc.collect()
        assert len(by_key) == 1
        assert list(by_value) == ["key"]

    in_child(use)
    use()
