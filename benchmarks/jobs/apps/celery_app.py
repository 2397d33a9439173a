"""Celery with its defaults over whatever broker there is; its results are in Redis."""

from __future__ import annotations

# By name: it has few types.
from importlib import import_module
from typing import Any

from benchmarks.jobs.apps.seam import InThreads, broker_url, redis_url

celery: Any = import_module("celery")
app = celery.Celery("nothing", broker=broker_url(), backend=redis_url())


@app.task
def nothing() -> bool:
    """Do nothing, and say so."""
    return True


PEER = InThreads(submit=nothing.delay, wait=lambda result: result.get())
