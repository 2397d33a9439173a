"""What an attempt says of itself: how far it has come, and the lines that it logs.

It is kept here for a moment and recorded in groups, in the order in which it was said; of reports
of progress that follow on each other the last alone. There are bounds, so that a history does not
grow without end, whatever a task does.
"""

import logging
import os
import threading
import time
from typing import Final

from onecopy.execution.attempt import sound, storable
from onecopy.execution.pace import pace
from onecopy.jobs import Advance, Line, Log, Progress

LINES_A_SECOND: Final = 100
LINES_OF_AN_ATTEMPT: Final = 2_000
LONGEST_LINE: Final = 2_000
_OWN: Final = "onecopy"
"""The logger of lines that tell of lines."""


class Said:
    """What one attempt has said and is not on record. Any thread may speak; one takes."""

    __slots__ = (
        "_after",
        "_before",
        "_began",
        "_closed",
        "_in_second",
        "_kept",
        "_left_out",
        "_lock",
        "_pid",
        "_progress",
        "_second",
        "_told_at",
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._told_at = 0.0
        self._before: list[Line] = []
        """Logged before the last report of progress."""
        self._progress: Progress | None = None
        self._after: list[Line] = []
        self._kept = 0
        self._left_out = 0
        self._second = 0.0
        self._in_second = 0
        self._closed = False

    def note(self, progress: Progress) -> None:
        """Keep how far it has come, unless it makes no sense."""
        checked = sound(progress)
        if checked is None:
            return
        with self._lock:
            self._progress = checked
            if self._after:
                self._before += self._after
                self._after = []

    def log(self, record: logging.LogRecord) -> None:
        """Keep a line, or count it where there are too many."""
        if self._closed or os.getpid() != self._pid:  # of a process that the task has forked
            return
        line = _line(record)
        with self._lock:
            if self._has_room(line.at):
                self._tell_left_out(line.at)
                self._add(line)
            else:
                self._left_out += 1

    def take(self, token: str, *, last: bool = False) -> list[Advance | Log]:
        """Return the changes that record what has been said since the last time.

        last: nothing is said any more.
        """
        self._closed = self._closed or last
        if self._progress is None and not self._after and not self._left_out:
            return []
        with self._lock:
            if last:
                self._tell_left_out(time.time())
            elif not (self._before or self._after or self._is_due()):
                return []
            before, progress, after = self._before, self._progress, self._after
            self._before, self._progress, self._after = [], None, []
        changes: list[Advance | Log] = [Log(token, before)] if before else []
        if progress is not None:
            self._told_at = time.monotonic()
            changes.append(Advance(token, progress))
        return [*changes, Log(token, after)] if after else changes

    def _is_due(self) -> bool:
        now = time.monotonic()
        return now - self._told_at >= pace(now - self._began)

    def _has_room(self, at: float) -> bool:
        if self._kept > LINES_OF_AN_ATTEMPT:
            return False
        if not 0 <= at - self._second < 1:
            self._second, self._in_second = at, 0
        self._in_second += 1
        return self._in_second <= LINES_A_SECOND

    def _add(self, line: Line) -> None:
        self._kept += 1
        if self._kept > LINES_OF_AN_ATTEMPT:
            text = f"an attempt keeps {LINES_OF_AN_ATTEMPT:,} lines: the next ones are left out"
            line = Line(line.at, "WARNING", _OWN, text)
            self._left_out += 1
        self._after.append(line)

    def _tell_left_out(self, at: float) -> None:
        if self._left_out:
            text = f"{self._left_out:,} lines were left out here"
            self._after.append(Line(at, "WARNING", _OWN, text))
            self._left_out = 0


def _line(record: logging.LogRecord) -> Line:
    text = _text(record)
    if len(text) > LONGEST_LINE:
        text = f"{text[: LONGEST_LINE - 1]}…"
    return Line(record.created, storable(record.levelname), storable(record.name), storable(text))


def _text(record: logging.LogRecord) -> str:
    """What it says; of an exception its last line, since tracebacks are sent to nobody."""
    try:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = f"{text}: {type(error).__name__}: {error}"
    except Exception:
        return str(record.msg) if isinstance(record.msg, str) else "(a line that cannot be shown)"
    return text
