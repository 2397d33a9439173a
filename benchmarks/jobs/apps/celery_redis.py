"""Celery with Redis as broker and result backend, its defaults."""

from __future__ import annotations

# By name: the environment of the checks does without the peers, and they have few types.
from importlib import import_module
from typing import Any

from benchmarks.jobs.apps.seam import InThreads, redis_url

celery: Any = import_module("celery")
app = celery.Celery("nothing", broker=redis_url(), backend=redis_url())


@app.task
def nothing() -> bool:
    """Do nothing, and say so."""
    return True


PEER = InThreads(submit=nothing.delay, wait=lambda result: result.get())
