"""The runtime of this process and event loop, as the environment names it.

ONECOPY_STATE_DIR  the folder that the processes of a host share; default `.onecopy`
ONECOPY_STORE      default: an SQLite file in that folder
ONECOPY_ENGINE     default: the store's own
ONECOPY_CALLS_SECRET   has calls go to other hosts too; default: they stay on this one
"""

import asyncio
import os
import weakref
from typing import Final
from urllib.parse import quote

from onecopy.engines.urls import default_engine, open_engine, own_engine
from onecopy.execution.distant_calls import DistantHosts, secret_here
from onecopy.execution.runtime import Runtime
from onecopy.execution.state import state_folder
from onecopy.stores import Speaking, Unavailable
from onecopy.stores.urls import file_of, open_store, without_secrets

STORE: Final = "ONECOPY_STORE"
ENGINE: Final = "ONECOPY_ENGINE"

_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Runtime]]
_open = weakref.WeakKeyDictionary()


def store_url() -> str:
    """Return the URL of this environment's store."""
    return os.environ.get(STORE) or f"sqlite:///{quote(state_folder())}/jobs.sqlite3"


def told_of_places() -> str | None:
    """Return where jobs are kept and what carries them, without secrets; None if none is named."""
    store, engine = os.environ.get(STORE), os.environ.get(ENGINE)
    kept = f"jobs are kept in {without_secrets(store or store_url())}"
    if engine:
        return f"{kept}, and travel by {without_secrets(engine)}"
    return kept if store else None


def new_runtime(*, bell: int | None = None) -> Runtime:
    """Return a runtime of this environment, not open yet.

    bell: descriptor of the socket that a job worker waits on. Raises Unavailable, OptionError.
    """
    folder = state_folder()
    url = store_url()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make the state folder {folder}: {error.strerror}") from error
    store, secret = open_store(url), secret_here()
    own = own_engine(url, folder, bell=bell)
    other = os.environ.get(ENGINE) or default_engine()
    engine = open_engine(other, own, folder, bell=bell) if other else own
    speaks = isinstance(store, Speaking)
    return Runtime(
        store,
        engine,
        folder,
        distant=None if secret is None else DistantHosts(store, secret),
        store_is_here=file_of(url) is not None,
        store_tells=speaks,
        store_rings=speaks and engine is own,
    )


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
