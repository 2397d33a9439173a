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

_sealed: "weakref.WeakSet[Any]" = weakref.WeakSet()
_watching = False


def watch(files: Iterable[Any]) -> None:
    """Flush these files, and any opened later, before each fork and at exit.

    Before a fork: or the child would inherit the buffer, and write it a second time. At exit: the
    interpreter flushes a file when it frees it, and what is sealed is never freed.
    """
    global _watching
    _sealed.update(files)
    if not _watching:
        _watching = True
        os.register_at_fork(before=_flush_all)
        atexit.register(_flush_all)


def _flush_all() -> None:
    # Those opened after the seal are among what the collector lists, which no longer has the rest.
    later = (each for each in gc.get_objects() if isinstance(each, FILE_TYPE))
    _flush([*later, *_sealed, sys.stdout, sys.stderr])


def _flush(files: Iterable[Any]) -> None:
    for file in files:
        # A file may be closed or its pipe gone: not for this moment to say.
        with contextlib.suppress(Exception):
            if file is not None and not file.closed:
                file.flush()
