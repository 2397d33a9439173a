"""Random object graphs: built from a recipe, sealed, and read in a child that must see the same."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, cast

from onecopy import heap

# A node of a recipe: a kind, a plain value, and the numbers of the nodes it refers to.
type Node = tuple[str, object, list[int]]


class Pair(NamedTuple):
    first: object
    second: object


class Plain:
    def __init__(self, parts: list[object]) -> None:
        self.parts = parts


@dataclass(slots=True)
class Slotted:
    parts: list[object]


class Text(str):
    pass


def _hashable(value: object) -> object:
    try:
        hash(value)
    except TypeError:
        return id(type(value))
    return value


LEAVES: dict[str, Callable[[Any], object]] = {
    "str": lambda value: f"{value}ä",
    "text": Text,
    "bytes": lambda value: value.encode("utf-8", "surrogatepass"),
    "bytearray": lambda value: bytearray(value.encode("utf-8", "surrogatepass")),
    "int": lambda value: len(value) ** 40,
    "float": lambda value: len(value) / 7,
    "none": lambda value: None,
    "decimal": lambda value: Decimal(len(value)) / 3,
    "fraction": lambda value: Fraction(len(value), 7),
    "date": lambda value: dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), value)),
    "range": lambda value: range(len(value), 10**20),
}
MADE: dict[str, Callable[[list[object]], object]] = {
    "list": list,
    "tuple": tuple,
    "pair": lambda parts: Pair(parts[:1], tuple(parts)),
    "set": lambda parts: {_hashable(part) for part in parts},
    "frozenset": lambda parts: frozenset(_hashable(part) for part in parts),
    "deque": deque,
    "dict": lambda parts: {_hashable(part): part for part in parts},
    "names": lambda parts: {f"name {i}": part for i, part in enumerate(parts)},
    "ordered": lambda parts: OrderedDict(enumerate(parts)),
    "default": lambda parts: defaultdict(list, {"parts": parts}),
    "plain": Plain,
    "slotted": Slotted,
    "namespace": lambda parts: SimpleNamespace(parts=parts),
    "proxy": lambda parts: MappingProxyType({"parts": parts}),
    "function": lambda parts: lambda: parts,
    "slice": lambda parts: slice(parts),
}


def build(recipe: list[Node]) -> list[object]:
    """The objects of a recipe. A node refers to earlier ones, a list to any and to itself."""
    built: list[object] = []
    for kind, value, links in recipe:
        parts = [built[link % len(built)] for link in links] if built else []
        built.append(LEAVES[kind](value) if kind in LEAVES else MADE[kind](parts))
    for (kind, _, links), made in zip(recipe, built, strict=True):
        if kind == "list":
            cast("list[object]", made).extend(built[link % len(built)] for link in links)
    return built


def describe(root: object) -> list[str]:
    """All that is reachable, in words that are equal for equal graphs."""
    numbers: dict[int, int] = {}
    words: list[str] = []
    waiting = [root]
    kept: list[object] = []
    while waiting:
        value = waiting.pop()
        if id(value) in numbers:
            words.append(f"seen {numbers[id(value)]}")
            continue
        numbers[id(value)] = len(numbers)
        kept.append(value)
        word, parts = _look_at(value)
        words.append(f"{type(value).__qualname__} {word}")
        waiting.extend(reversed(parts))
    return words


def _look_at(value: Any) -> tuple[str, list[object]]:  # noqa: ANN401
    if isinstance(value, (Plain, Slotted, SimpleNamespace)):
        return "", [cast("Any", value).parts]
    if isinstance(value, (set, frozenset)):
        return str(sorted(map(_plain_word, cast("set[object]", value)))), []
    if isinstance(value, (dict, MappingProxyType)):
        items = cast("dict[object, object]", value).items()
        return "", [part for key, kept in items for part in (_plain_word(key), kept)]
    if isinstance(value, (list, tuple, deque)):
        return "", list(cast("list[object]", value))
    if callable(value):
        return "", [value()]
    if isinstance(value, slice):
        return "", [cast("Any", value).start]
    return repr(value), []


def _plain_word(key: object) -> str:
    return repr(key) if type(key) in (str, int, float, bytes, Text) else type(key).__name__


def serve() -> None:
    """For each recipe on standard input: the exit code of a process that seals and reads it."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            seal_and_read(json.loads(line))
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def seal_and_read(recipe: list[Node]) -> None:
    graph = build(recipe)
    expected = describe(graph)
    measured = heap.size(graph)
    report = heap.seal({"graph": graph})
    assert report.immortal
    assert report.groups["graph"].objects >= measured.objects
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            assert describe(graph) == expected
            assert describe(build(recipe)) == expected
            graph.clear()
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert describe(graph) == expected
