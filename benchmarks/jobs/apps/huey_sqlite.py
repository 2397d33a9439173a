"""Huey on SQLite with its defaults: WAL, and SQLite's own synchronous=FULL."""

from __future__ import annotations

# By name: the environment of the checks does without the peers, and they have few types.
from importlib import import_module
from typing import Any

from benchmarks.jobs.apps.seam import InThreads, folder

huey: Any = import_module("huey")
queue = huey.SqliteHuey("nothing", filename=str(folder() / "huey.db"))


@queue.task()
def nothing() -> bool:
    """Do nothing, and say so: Huey keeps no result that is None."""
    return True


PEER = InThreads(submit=nothing, wait=lambda result: result.get(blocking=True))
