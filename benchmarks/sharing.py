"""What stays shared, by what the objects are and what a child does with them.

`python -m benchmarks.sharing`: each case in processes of its own, four readers each. Copies: what
all processes take, by the parent alone before it forked. Aim: at most 1.03 for each.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks import _facts, readers
from onecopy import heap

READERS: Final = 4
AIM: Final = 1.03


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    make: Callable[[int], Any]
    use: Callable[[Any], object]
    # What the program does before the seal, as a function marked with @shared.warm would.
    warm: Callable[[Any], object] | None = None
    weakrefs: bool = False


class Plain:
    """An instance as most are: its attributes in a dict, made when it is asked for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"name {number}"
        self.share = number / 7


@dataclass(slots=True)
class Slotted:
    """The same, with room for its attributes and no dict."""

    number: int
    name: str
    share: float


def _table(count: int) -> dict[str, tuple[str, int, float]]:
    return {f"key {i}": (f"name {i}", i + 1000, i / 7) for i in range(count)}


def _read_table(table: dict[str, tuple[str, int, float]]) -> None:
    for key, row in table.items():
        for value in (key, *row):
            hash(value)


def _instances(count: int) -> list[Plain]:
    return [Plain(i) for i in range(count)]


def _slotted(count: int) -> list[Slotted]:
    return [Slotted(i, f"name {i}", i / 7) for i in range(count)]


def _read_attributes(instances: list[Plain] | list[Slotted]) -> None:
    for each in instances:
        hash((each.number, each.name, each.share))


def _read_dicts(instances: list[Plain]) -> None:
    for each in instances:
        for name, value in vars(each).items():
            hash((name, value))


def _strings(count: int) -> list[str]:
    return [f"a string of its own, number {i}" for i in range(count * 3)]


def _words(count: int) -> list[str]:
    return [f"Größe {i} — naïve" for i in range(count * 3)]


def _hash_all(strings: list[str]) -> None:
    for each in strings:
        hash(each)


def _iterate(strings: list[str]) -> None:
    for _ in strings:
        pass


def _encode(strings: list[str]) -> None:
    ask = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
    ask.restype = ctypes.c_void_p
    length = ctypes.byref(ctypes.c_ssize_t())
    for each in strings:
        ask(ctypes.py_object(each), length)


def _reference(instances: list[Plain]) -> None:
    for each in instances:
        weakref.ref(each)


def _collect(table: dict[str, tuple[str, int, float]]) -> None:
    gc.enable()
    for _ in range(3):
        gc.collect()
    _read_table(table)


def _look_at_one(instances: list[Plain]) -> None:
    vars(instances[0])


CASES: Final[tuple[Case, ...]] = (
    Case("dict of str to (str, int, float): read", _table, _read_table),
    Case("instances: attributes read", _instances, _read_attributes),
    Case("instances: `__dict__` read", _instances, _read_dicts, warm=_look_at_one),
    Case("instances with `__slots__`: attributes read", _slotted, _read_attributes),
    Case("str never hashed: hashed", _strings, _hash_all),
    Case("str never hashed: iterated over", _strings, _iterate),
    Case("str not in ASCII: encoded in UTF-8", _words, _encode),
    Case("instances: a weak reference taken to each", _instances, _reference, weakrefs=True),
    Case("dict of str to (str, int, float): collected, read", _table, _collect),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """The bytes of one case: one process before the forks, and all of them after the reading."""

    one_bytes: int
    total_bytes: int


def measure(case: Case, count: int, way: str) -> Figures:
    """Load, share the `way` says, fork, read, and measure, in this process."""
    gc.disable()
    data = case.make(count)
    if case.warm is not None:
        case.warm(data)
    if way == "sealed":
        report = heap.seal(weakrefs=case.weakrefs)
        if not report.immortal:
            raise RuntimeError(report.reason)
    elif way == "frozen":
        gc.collect()
        gc.freeze()
    else:
        case.use(data)
    one = readers.own_pss()
    if way == "alone":
        return Figures(one, one)
    return Figures(one, readers.total_pss(READERS, lambda: case.use(data)))


def _apart(case: Case, count: int, way: str) -> Figures:
    command = [sys.executable, "-m", "benchmarks.sharing", "--count", str(count)]
    ended = subprocess.run(
        [*command, "--case", str(CASES.index(case)), "--way", way],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(ended.stderr)
    return Figures(**json.loads(ended.stdout))


def _row(case: Case, count: int) -> dict[str, Any]:
    sealed, frozen = _apart(case, count, "sealed"), _apart(case, count, "frozen")
    alone = _apart(case, count, "alone")
    row = {
        "case": case.name,
        "plain_bytes": alone.one_bytes,
        "sealed_bytes": sealed.one_bytes,
        "sealed_total_bytes": sealed.total_bytes,
        "copies": sealed.total_bytes / sealed.one_bytes,
        "frozen_copies": frozen.total_bytes / frozen.one_bytes,
        "sealed_by_plain": sealed.one_bytes / alone.one_bytes,
    }
    print(
        f"{case.name:52} copies {row['copies']:.3f}  frozen only {row['frozen_copies']:.2f}  "
        f"sealed / plain {row['sealed_by_plain']:.2f}",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="records in a case")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("sealed", "frozen", "alone"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen: int | None = options.case
    if chosen is not None:
        print(json.dumps(asdict(measure(CASES[chosen], options.count, options.way))))
        return
    rows = [_row(case, options.count) for case in CASES]
    _facts.save("sharing", {"readers": READERS, "count": options.count, "aim": AIM, "cases": rows})


if __name__ == "__main__":
    main()
