"""The runtime of this process and event loop, as the environment names it.

ONECOPY_STATE_DIR  the folder that the processes of a host share; default `.onecopy`
ONECOPY_STORE      default: an SQLite file in that folder
"""

import asyncio
import os
import weakref
from typing import Final
from urllib.parse import quote

from onecopy.engines.local import LocalEngine
from onecopy.execution.runtime import Runtime
from onecopy.execution.state import state_folder
from onecopy.stores import Unavailable
from onecopy.stores.urls import open_store

STORE: Final = "ONECOPY_STORE"

_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Runtime]]
_open = weakref.WeakKeyDictionary()


def store_url() -> str:
    """Return the URL of this environment's store."""
    return os.environ.get(STORE) or f"sqlite:///{quote(state_folder())}/jobs.sqlite3"


def new_runtime(*, bell: int | None = None) -> Runtime:
    """Return a runtime of this environment, not open yet.

    bell: descriptor of the socket that a job worker waits on. Raises Unavailable.
    """
    folder = state_folder()
    url = store_url()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make the state folder {folder}: {error.strerror}") from error
    return Runtime(open_store(url), LocalEngine(folder, bell=bell), folder)


async def runtime_here() -> Runtime:
    """Return the open runtime of this process and the running loop. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    opening = _open.get(loop)
    if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
        opening = _open[loop] = loop.create_task(_opened(), name="onecopy: open the runtime")
    return await asyncio.shield(opening)


async def _opened() -> Runtime:
    runtime = new_runtime()
    await runtime.open()
    return runtime


async def close_here() -> None:
    """Close what `runtime_here` opened on this loop, if anything."""
    opening = _open.pop(asyncio.get_running_loop(), None)
    if opening is not None:
        await (await opening).close()


def _forget() -> None:
    """In a forked child: what is open belongs to the parent."""
    _open.clear()


os.register_at_fork(after_in_child=_forget)
