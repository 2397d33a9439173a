"""A service, and who harms its processes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT
from tests.running import Service, alive, wait_until

ROLES: Final = ("web", "job", "image", "supervisor")
_WEIGHTS: Final = (6, 8, 3, 1)
_APP: Final = "benchmarks.chaos.app:app"
_OPTIONS: Final = (_APP, "--workers", "2", "--job-workers", "2", "--no-access-log")
_LONGEST_STOP: Final = 2.0  # seconds; less than a lease, so that nobody is taken for dead


class Harm:
    """A service in a folder, and what was done to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._service = self._started()
        self.port = self._service.port
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()

    def _started(self, *options: str) -> Service:
        environment = {"PYTHONPATH": str(ROOT)}
        service = Service(self._folder, *_OPTIONS, *options, environment=environment)
        return service.wait_until_ready()

    def end(self) -> None:
        """End the service."""
        self._service.kill()

    def kill(self) -> None:
        """Send SIGKILL to a process of some kind, if there is one just now."""
        (role,) = random.choices(ROLES, _WEIGHTS)
        try:
            if role == "supervisor":
                self._kill_supervisor()
            else:
                os.kill(self._victim(role), signal.SIGKILL)
        except (OSError, IndexError, KeyError):
            return
        self.kills[role] += 1

    def stop(self) -> None:
        """Send SIGSTOP to a process of some kind, and SIGCONT after a while."""
        role = random.choice(ROLES)
        try:
            victim = self._service.pid if role == "supervisor" else self._victim(role)
            os.kill(victim, signal.SIGSTOP)
            self.stops[role] += 1
            time.sleep(random.uniform(0.05, _LONGEST_STOP))
            os.kill(victim, signal.SIGCONT)
        except (OSError, IndexError, KeyError):
            return  # There is none just now, or it has ended meanwhile.

    def _victim(self, role: str) -> int:
        return random.choice(self._service.pids(role))

    def _kill_supervisor(self) -> None:
        """Kill it, see that all others end with it, and start the service again."""
        others = [process["pid"] for process in self._service.status()["processes"]]
        self._service.process.kill()
        self._service.process.wait()
        wait_until(lambda: not any(alive(pid) for pid in others), what="the end of all processes")
        self._service.kill()
        self._service = self._started("--port", str(self.port))
