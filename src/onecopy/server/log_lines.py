"""Collects what tasks log, with Python's `logging`, for those who follow their jobs.

It is taken where a logger hands a record to its handlers: behind the filters of the logger, and of
whatever logger, also of one that keeps its records to itself. The ordinary log stays as it is.

A logger without a level of its own has that of the root, which is WARNING unless the app says
otherwise, and makes no record of anything below. So the root's level is lowered here, and what
passes for that alone is kept from the handlers.
"""

import logging
from contextvars import ContextVar
from typing import Final

from onecopy.server.said import Said

_UNLESS_CONFIGURED: Final = logging.WARNING
_here: Final[ContextVar[tuple[Said, int] | None]] = ContextVar("onecopy_log_lines", default=None)
_call_handlers: Final = logging.Logger.callHandlers


def listen(said: Said, level: int | None) -> None:
    """Collect lines of this context, and of those that it begins; None: none."""
    _here.set(None if level is None else (said, level))


def collect(level: int) -> None:
    """Have lines of this process collected that have at least a level."""
    lowered = level - 1  # a level that nobody else sets
    root = logging.getLogger()
    if root.level == _UNLESS_CONFIGURED and lowered < root.level:
        root.setLevel(lowered)

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= _UNLESS_CONFIGURED or self.getEffectiveLevel() != lowered:
            _call_handlers(self, record)
        here = _here.get()
        if here is not None and record.levelno >= here[1] and not _is_own(record):
            here[0].log(record)

    logging.Logger.callHandlers = call_handlers


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "onecopy"
