"""The peers: how the worker of each is started.

All have their defaults but for the log, which no one writes for each job.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.jobs.apps import seam
from benchmarks.processes import BIN, program, shown
from servers import redis

_APPS: Final = "benchmarks.jobs.apps"


@dataclass(frozen=True)
class Peer:
    """One worker process of a peer; app: its module in `benchmarks.jobs.apps`."""

    name: str
    app: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    redis: bool = False

    @property
    def shown(self) -> str:
        """The command as a user would type it."""
        return shown(self.command)

    def missing(self) -> str | None:
        """What has to be installed before this one can be measured; None if nothing."""
        absent = [package for package in self.packages if find_spec(package) is None]
        if absent:
            return f"{', '.join(absent)} not installed: make bench-jobs installs it"
        return redis.MISSING if self.redis and redis.version() is None else None

    @contextlib.contextmanager
    def running(self, folder: Path, redis_url: str) -> Generator[dict[str, str]]:
        """Run its worker in a folder; yields the environment that its clients need.

        Not every one says when it is ready: the first job waits for it.
        """
        environment = {seam.FOLDER: str(folder), seam.REDIS: redis_url}
        with program(self.command, folder, lambda _: True, environment):
            yield environment


def _onecopy(kind: str) -> Peer:
    app = f"onecopy_{kind}"
    command = (str(BIN / "onecopy"), "worker", f"{_APPS}.{app}:app", "--workers", "1")
    return Peer(f"onecopy, {kind} task", app, command)


CELERY: Final = Peer(
    "Celery, Redis",
    "celery_redis",
    (str(BIN / "celery"), "-A", f"{_APPS}.celery_redis", "worker", "-c", "1"),
    ("celery", "redis"),
    redis=True,
)
PEERS: Final = (
    _onecopy("sync"),
    _onecopy("async"),
    CELERY,
    Peer(
        "taskiq, Redis",
        "taskiq_redis",
        (
            str(BIN / "taskiq"),
            *("worker", f"{_APPS}.taskiq_redis:broker", "--workers", "1"),
            *("--log-level", "WARNING"),
        ),
        ("taskiq", "taskiq_redis", "redis"),
        redis=True,
    ),
    Peer(
        "Huey, SQLite",
        "huey_sqlite",
        (str(BIN / "huey_consumer"), f"{_APPS}.huey_sqlite.queue", "-w", "1", "-q"),
        ("huey",),
    ),
)
