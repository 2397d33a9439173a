"""What `onecopy doctor` says of the store that the environment names: whether it can lose jobs."""

import asyncio
import os
from collections.abc import Iterator

from onecopy.cli.checks import Check
from onecopy.errors import OptionError
from onecopy.execution.connect import STORE
from onecopy.stores import Concerned, Store, Unavailable
from onecopy.stores.urls import file_of, open_store


def store_checks() -> Iterator[Check]:
    """Look at a store that is on a server; nothing for one in a file."""
    url = os.environ.get(STORE)
    if not url or file_of(url) is not None:
        return
    try:
        concerns = asyncio.run(_concerns(open_store(url)))
    except OptionError as error:
        yield Check("store", "problem", str(error), f"set {STORE} to the URL of a store")
        return
    except Unavailable as error:
        yield Check("store", "problem", str(error))
        return
    for concern in concerns:
        found, _, cure = concern.partition("; ")
        yield Check("store", "warning", f"its server {found}", cure or None)
    if not concerns:
        yield Check("store", "ok", "it answers, and keeps what it has accepted")


async def _concerns(store: Store) -> list[str]:
    await store.open()
    try:
        return await store.concerns() if isinstance(store, Concerned) else []
    finally:
        await store.close()
