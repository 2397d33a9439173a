"""What workers tell each other and the supervisor, in shared memory.

One slot of eight 64-bit integers for each worker; slot 0 is a header that says how many are in
use. Behind them, for each slot, the marks of the attempts that a job worker has begun (`begun`).
A slot has one writer, its worker; the supervisor clears it when the worker is gone. Aligned
8-byte stores do not tear on the machines that CPython 3.12 runs on, so no lock is needed, and what
is there is whole, whenever the worker was killed.
"""

from __future__ import annotations

import mmap
import os
import sys
import time

SLOTS = 1024
_FIELDS = 8
_ACCEPTING, _CONNECTIONS, _TURNED, _ACCEPTED, _DEADLINE, _MEMORY, _MARKED = range(7)
MARKS = 512
"""Attempts that a job worker can have marked at once."""
_SIZE = SLOTS * (_FIELDS + MARKS) * 8
_STALE_NS = 1_000_000_000


def create() -> int:
    """Return a descriptor of empty shared memory, deleted with its last user."""
    if sys.platform == "linux":
        fd = os.memfd_create("onecopy-scoreboard", os.MFD_CLOEXEC)
    else:
        import tempfile

        fd, path = tempfile.mkstemp(prefix="onecopy-")
        os.unlink(path)
    os.ftruncate(fd, _SIZE)
    return fd


class Scoreboard:
    """All slots, mapped."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _SIZE)
        self._cells = memoryview(self._map).cast("q")

    def clear(self, slot: int) -> None:
        """Forget the worker that had this slot."""
        start = slot * _FIELDS
        if self._cells[start + _MARKED]:  # Else its marks were never touched, and take no memory.
            for cell in _marks(slot):
                self._cells[cell] = 0
        for cell in range(start, start + _FIELDS):
            self._cells[cell] = 0

    def turned(self, slot: int) -> None:
        """Note that the worker's event loop turned just now."""
        self._cells[slot * _FIELDS + _TURNED] = time.monotonic_ns()

    def last_turn(self, slot: int) -> float | None:
        """Return seconds since the worker's event loop turned; None before its first turn."""
        turned = self._cells[slot * _FIELDS + _TURNED]
        return (time.monotonic_ns() - turned) / 1e9 if turned else None

    def set_accepting(self, slot: int, accepting: bool) -> None:
        """Note whether the worker takes new connections."""
        self._cells[slot * _FIELDS + _ACCEPTING] = int(accepting)

    def accepting(self, slot: int) -> bool:
        """Return whether the worker takes new connections; one whose loop stands still does not."""
        start = slot * _FIELDS
        fresh = time.monotonic_ns() - _STALE_NS
        return bool(self._cells[start + _ACCEPTING]) and self._cells[start + _TURNED] > fresh

    def set_connections(self, slot: int, count: int) -> None:
        """Note how many connections the worker has open."""
        self._cells[slot * _FIELDS + _CONNECTIONS] = count

    def connections(self, slot: int) -> int:
        """Return how many connections the worker has open."""
        return self._cells[slot * _FIELDS + _CONNECTIONS]

    def count_accepted(self, slot: int) -> None:
        """Note that the worker took one more connection, or began one more attempt."""
        self._cells[slot * _FIELDS + _ACCEPTED] += 1

    def accepted(self, slot: int) -> int:
        """Return how many connections or attempts the worker has taken in its life."""
        return self._cells[slot * _FIELDS + _ACCEPTED]

    def take_slot(self, taken: set[int]) -> int:
        """Return the lowest slot that is not in `taken`; called by the supervisor alone.

        Raises:
            OverflowError: all are in use.
        """
        for slot in range(1, SLOTS):
            if slot not in taken:
                self.clear(slot)
                self._cells[0] = max(self._cells[0], slot + 1)
                return slot
        raise OverflowError(f"more than {SLOTS - 1} workers")

    def set_deadline(self, slot: int, at: float | None) -> None:
        """Note when (seconds since 1970) the worker is to be killed; None: not at all."""
        self._cells[slot * _FIELDS + _DEADLINE] = 0 if at is None else int(at * 1e6)

    def deadline(self, slot: int) -> float | None:
        """Return when the worker is to be killed, in seconds since 1970."""
        at = self._cells[slot * _FIELDS + _DEADLINE]
        return at / 1e6 if at else None

    def set_memory_limit(self, slot: int, limit: int | None) -> None:
        """Note how many private bytes the worker may have; None: any number."""
        self._cells[slot * _FIELDS + _MEMORY] = limit or 0

    def memory_limit(self, slot: int) -> int | None:
        """Return how many private bytes the worker may have."""
        return self._cells[slot * _FIELDS + _MEMORY] or None

    def set_mark(self, slot: int, place: int, mark: int) -> None:
        """Note an attempt that the worker begins; 0: none, in this place of `MARKS`."""
        self._cells[slot * _FIELDS + _MARKED] = self._cells[slot * _FIELDS + _MARKED] or 1
        self._cells[_marks(slot)[place]] = mark

    def give_up_marks(self, slot: int) -> None:
        """Note that the worker has begun more attempts at once than can be marked."""
        self._cells[slot * _FIELDS + _MARKED] = -1

    def marks(self, slot: int) -> list[int] | None:
        """Return the marks of the attempts that the worker has begun; None: any may have been."""
        marked = self._cells[slot * _FIELDS + _MARKED]
        if marked < 0:
            return None
        return [mark for cell in _marks(slot) if (mark := self._cells[cell])] if marked else []

    def fewest_connections(self) -> int | None:
        """Return the connections of the least loaded worker whose loop turns.

        A worker whose loop has not turned for a second does not count: nobody should leave
        a connection to one that is stuck.
        """
        cells = self._cells
        fresh = time.monotonic_ns() - _STALE_NS
        fewest = None
        for start in range(_FIELDS, cells[0] * _FIELDS, _FIELDS):
            if cells[start + _ACCEPTING] and cells[start + _TURNED] > fresh:
                count = cells[start + _CONNECTIONS]
                if fewest is None or count < fewest:
                    fewest = count
        return fewest


def _marks(slot: int) -> range:
    start = SLOTS * _FIELDS + slot * MARKS
    return range(start, start + MARKS)
