"""Celery's workers beside a service whose own job workers are none, and who harms them."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT
from tests.celery.worker import Tier, Worker
from tests.running import alive, wait_until

_MAIN: Final = "Celery's main process"
_CHILD: Final = "Celery's child"
_KEEPER: Final = "Celery's keeper"
ROLES: Final = {_MAIN: 1, _CHILD: 8, _KEEPER: 3}
"""And how often each is killed, in relation to the others."""
_APP: Final = "benchmarks.chaos.app:shared.celery"


class Pool:
    """A Celery worker with two children, in the folder of a service."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {
            "PYTHONPATH": str(ROOT),
            **variables,
            "ONECOPY_STATE_DIR": str(folder / ".onecopy"),
        }
        self._tier = Tier(folder, variables["ONECOPY_ENGINE"])
        self._worker = self._started()

    def _started(self) -> Worker:
        worker = Worker(self._tier, app=_APP, environment=self._environment, cwd=self._folder)
        return worker.__enter__()

    def victim(self, role: str) -> int:
        """Return the pid of a process of a kind. Raises IndexError, OSError: there is none now."""
        if role == _MAIN:
            return self._worker.process.pid
        children = self._worker.children()
        keepers = [pid for pid, name in children.items() if name == "onecopy keeper"]
        return random.choice(keepers if role == _KEEPER else self._worker.pool())

    def kill(self, role: str) -> None:
        """Send SIGKILL; the main process is started again once all of its others have ended."""
        victim = self.victim(role)
        others = self._worker.children() if role == _MAIN else {}
        os.kill(victim, signal.SIGKILL)
        if role == _MAIN:
            self._worker.process.wait()
            wait_until(lambda: not any(map(alive, others)), what="the end of Celery's children")
            self._worker = self._started()

    def end(self) -> None:
        """Kill all."""
        self._worker.kill()
