"""Open files of a sealed process: what is in their buffers must be written exactly once."""

import atexit
import contextlib
import gc
import io
import os
import sys
import weakref
from collections.abc import Iterable
from typing import Any

# What every file object derives from, those that Python code defines and those of C alike.
FILE_TYPE: type = io.IOBase.__mro__[1]

# By id, for a file may be unhashable; weakly, for a file is closed by whoever drops it.
_sealed: dict[int, weakref.ref[Any]] = {}
_watching = False


def watch(files: Iterable[Any]) -> None:
    """Flush these files, and any opened later, before each fork and at exit.

    Before a fork: or the child would inherit the buffer, and write it a second time. At exit: the
    interpreter flushes a file when it frees it, and what is sealed is never freed.
    """
    global _watching
    _sealed.update((id(file), weakref.ref(file)) for file in files)
    if not _watching:
        _watching = True
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(before=_flush_all)
        atexit.register(_flush_all)


def files_in(values: Iterable[object]) -> list[Any]:
    """The files among these values. By their type alone: `isinstance` may run a proxy's code."""
    return [value for value in values if issubclass(type(value), FILE_TYPE)]


def _flush_all() -> None:
    # Those opened after the seal are among what the collector lists, which no longer has the rest.
    known = [reference() for reference in _sealed.values()]
    _flush([*files_in(gc.get_objects()), *known, sys.stdout, sys.stderr])


def _flush(files: Iterable[Any]) -> None:
    for file in files:
        # A file may be closed or its pipe gone: not for this moment to say.
        with contextlib.suppress(Exception):
            if file is not None and not file.closed:
                file.flush()
