"""A service, and who harms its processes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.chaos import pool
from benchmarks.processes import ROOT
from servers.choice import Choice
from tests.running import Service, alive, wait_until

_ROLES: Final = {"web": 6, "job": 8, "image": 3, "supervisor": 1}
"""And how often each is killed, in relation to the others."""
_SERVER_WEIGHT: Final = 3
_AWAY: Final = 2.0
"""Seconds that a server is away, at most, after it was killed."""
_APP: Final = "benchmarks.chaos.app:app"
_OPTIONS: Final = (_APP, "--workers", "2", "--no-access-log")
_LONGEST_STOP: Final = 2.0  # seconds; less than a lease, so that nobody is taken for dead


class Harm:
    """A service in a folder, and what was done to it and to the servers that it uses."""

    def __init__(self, folder: Path, choice: Choice) -> None:
        self._folder = folder
        self._choice = choice
        self._coming_back: list[threading.Thread] = []
        by_celery = choice.variables.get("ONECOPY_ENGINE", "").startswith("celery")
        self._job_workers = 0 if by_celery else 2
        self._service = self._started()
        self._pool = pool.Pool(folder, choice.variables) if by_celery else None
        self._roles = {**_ROLES, **dict.fromkeys(choice.servers, _SERVER_WEIGHT)}
        if by_celery:
            del self._roles["job"]
            self._roles |= pool.ROLES
        self.port = self._service.port
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()

    def _started(self, *options: str) -> Service:
        environment = {"PYTHONPATH": str(ROOT), **self._choice.variables}
        words = (*_OPTIONS, "--job-workers", str(self._job_workers), *options)
        service = Service(self._folder, *words, environment=environment)
        return service.wait_until_ready()

    def end(self) -> None:
        """End the service; its servers stay, or come back."""
        self._service.kill()
        if self._pool is not None:
            self._pool.end()
        for server in self._coming_back:
            server.join()

    def kill(self) -> None:
        """Send SIGKILL to a process of some kind, if there is one just now."""
        (role,) = random.choices([*self._roles], [*self._roles.values()])
        try:
            if role in self._choice.servers:
                self._kill_server(role)
            elif self._pool is not None and role in pool.ROLES:
                self._pool.kill(role)
            elif role == "supervisor":
                self._kill_supervisor()
            else:
                os.kill(self._victim(role), signal.SIGKILL)
        except (OSError, IndexError, KeyError):
            return
        self.kills[role] += 1

    def stop(self) -> None:
        """Send SIGSTOP to a process of some kind, and SIGCONT after a while."""
        role = random.choice([role for role in self._roles if role not in self._choice.servers])
        try:
            victim = self._victim(role)
            os.kill(victim, signal.SIGSTOP)
            self.stops[role] += 1
            time.sleep(random.uniform(0.05, _LONGEST_STOP))
            os.kill(victim, signal.SIGCONT)
        except (OSError, IndexError, KeyError):
            return  # There is none just now, or it has ended meanwhile.

    def _kill_server(self, name: str) -> None:
        """Kill it, and start it again after a while, on its data."""
        server = self._choice.servers[name]
        self._coming_back = [each for each in self._coming_back if each.is_alive()]
        if self._coming_back:
            raise KeyError(name)  # One at a time, and not while it starts.
        server.kill()

        def come_back() -> None:
            time.sleep(random.uniform(0.1, _AWAY))
            server.start()

        self._coming_back = [threading.Thread(target=come_back)]
        self._coming_back[0].start()

    def _victim(self, role: str) -> int:
        if self._pool is not None and role in pool.ROLES:
            return self._pool.victim(role)
        if role == "supervisor":
            return self._service.pid
        return random.choice(self._service.pids(role))

    def _kill_supervisor(self) -> None:
        """Kill it, see that all others end with it, and start the service again."""
        others = [process["pid"] for process in self._service.status()["processes"]]
        self._service.process.kill()
        self._service.process.wait()
        wait_until(lambda: not any(alive(pid) for pid in others), what="the end of all processes")
        self._service.kill()
        self._service = self._started("--port", str(self.port))
