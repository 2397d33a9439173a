"""Buffers of open files: written once, by whom it was written to."""

from __future__ import annotations

import atexit
import io
import os
import sys
import tempfile
import weakref
from pathlib import Path

from onecopy import heap
from tests.heap.forked import in_child

_folder = os.environ.get("SCENARIO_FOLDER", tempfile.gettempdir())


def _path_of(name: str) -> Path:
    return Path(_folder) / name


class _Holder:
    """Holds a file as a logger does: by an attribute of an object that is sealed."""

    def __init__(self, name: str) -> None:
        self.file = _path_of(name).open("w")


holders: list[_Holder] = []


def unflushed_files_are_written_once() -> None:
    holder = _Holder("once.txt")
    holders.append(holder)
    holder.file.write("before the seal\n")
    heap.seal()
    holder.file.write("before the fork\n")
    for number in range(3):
        in_child(lambda number=number: holder.file.write(f"child {number}\n"))
    holder.file.write("at the end\n")  # and nobody closes it


def files_opened_after_the_seal() -> None:
    heap.seal()
    holders.append(_Holder("later.txt"))
    holders[0].file.write("opened later\n")
    in_child(lambda: holders[0].file.write("and written to by a child\n"))


def standard_output_is_written_once() -> None:
    sys.stdout.write("parent\n")  # a pipe: this waits in the buffer
    heap.seal()
    for _ in range(2):
        in_child(lambda: None)


def files_and_proxies_of_unusual_kinds() -> None:
    class Proxy:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise LookupError("a proxy with nothing behind it")

    class Unhashable(io.StringIO):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return False

    class Broken(io.StringIO):
        def flush(self) -> None:
            raise OSError("no space left on device")

    made: dict[str, object] = {}
    exec("nameless = type('Nameless', (), {})()", made)  # of a class that is of no module
    held = [Proxy(), Unhashable("text"), Broken("text"), made["nameless"]]
    closed = _path_of("closed.txt").open("w")
    closed.close()
    holders.append(_Holder("kept.txt"))
    report = heap.seal()
    assert report.types["Nameless"].objects == 1
    holders[0].file.write("kept")
    in_child(lambda: held)


def clean_up_at_exit() -> None:
    temporary = tempfile.TemporaryDirectory(dir=_folder)
    atexit.register(lambda: _path_of("atexit.txt").write_text("ran"))
    finalizer = weakref.finalize(_Holder, lambda: _path_of("finalize.txt").write_text("ran"))
    _path_of("temporary.txt").write_text(temporary.name)
    heap.seal()
    assert finalizer.alive
    assert Path(temporary.name).is_dir()
