"""Ordinary Python objects in any number: what a service holds that has loaded a table of places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, cast


class Record(TypedDict):
    """A place, as a table of places has it."""

    id: int
    name: str
    position: tuple[float, float]
    tags: list[str | int]


# What one record comes to, with its key: dict, list, tuple, two floats, two ints, two strings. Its
# tag is one of a thousand.
OBJECTS_PER_RECORD = 9


def records(count: int) -> dict[str, Record]:
    """So many records by key."""
    tags = [f"tag {i}" for i in range(1000)]
    return {
        f"key {i}": Record(
            id=i + 1000,
            name=f"place {i}",
            position=(i / 7, -i / 9),
            tags=[tags[i % 1000], i * 3 + 1000],
        )
        for i in range(count)
    }


def read_all(table: dict[str, Record]) -> float:
    """Read everything there is in the records: take, hash, compare, add up."""
    total = 0.0
    for key, record in table.items():
        for name, value in record.items():
            total += hash(name) & 1
            if isinstance(value, (tuple, list)):
                for part in cast("Iterable[object]", value):
                    total += hash(part) & 1
            else:
                total += hash(value) & 1
        total += hash(key) & 1
    return total
