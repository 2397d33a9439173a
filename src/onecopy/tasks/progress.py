"""How far a task has come: injected into tasks that have a parameter of this type."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from onecopy.jobs import Progress as Report

_EVERY: Final = 0.1
"""Seconds between two reports of `track`: as often as a person can see."""


class Progress:
    """Reports how far a job has come, for whoever follows it.

    In a plain call pass `Progress()`: its reports go nowhere.
    """

    def __init__(self, sink: Callable[[Report], None] | None = None) -> None:
        self._sink = sink

    def update(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report `done` of `total` (None where that is not known), in units of the task's own.

        Raises ValueError for what is no number, or not finite.
        """
        done = _number("done", done)
        total = None if total is None else _number("total", total)
        if self._sink is not None:
            self._sink(Report(done, total, message))

    def track[T](
        self, items: Iterable[T], total: float | None = None, message: str | None = None
    ) -> Iterator[T]:
        """Yield the items and report how many are done, ten times a second at most.

        total: their number, where `len(items)` cannot tell it.
        """
        if total is None:
            total = _length(items)
        self.update(0, total, message)
        done, said_at = 0, time.monotonic()
        for done, item in enumerate(items, 1):
            yield item
            if (now := time.monotonic()) - said_at >= _EVERY:
                said_at = now
                self.update(done, total, message)
        self.update(done, total, message)


def _number(name: str, value: float) -> float:
    """A number as JSON has it, of whatever is one, as those of NumPy are."""
    try:
        if math.isfinite(value):
            return value if type(value) in (int, float) else float(value)
    except (TypeError, OverflowError):
        pass
    raise ValueError(f"progress cannot be {name}={value!r}: report a finite number")


def _length(items: object) -> int | None:
    try:
        return len(items)  # pyright: ignore[reportArgumentType]  asks whether it has one
    except TypeError:
        return None
