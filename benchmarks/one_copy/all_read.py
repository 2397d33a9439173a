"""The gazetteer with an endpoint and a task that read every object of its data."""

import os
from collections.abc import Iterable
from typing import Any, cast

from gazetteer.app import app, gazetteer, shared


def read_all() -> int:
    """Read, hash and compare all there is; return the process that has done it."""
    places = vars(gazetteer())
    for city in gazetteer().cities:
        _read(city)
    for part in places.values():
        _read(part, deep=2)
    return os.getpid()


def _read(value: object, deep: int = 9) -> None:
    """Read an object and what it contains, so many levels deep."""
    if isinstance(value, dict):
        for key, inner in cast("dict[Any, object]", value).items():
            hash(key)
            _inside(inner, deep)
    elif isinstance(value, (list, tuple)):
        for inner in cast("Iterable[object]", value):
            _inside(inner, deep)
    else:
        hash(value)


def _inside(value: object, deep: int) -> None:
    if deep:
        _read(value, deep - 1)


app.get("/read-all")(read_all)
app.post("/read-all")(shared.task(name="read_all")(read_all).endpoint)
