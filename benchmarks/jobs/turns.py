"""All peers side by side, measured in turns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

from rich.progress import Progress

from benchmarks.jobs.loads import Load
from benchmarks.jobs.peers import Peer
from benchmarks.processes import environment_of
from servers.redis import Redis

_LONGEST: Final = 120.0  # seconds of one client


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float
    submitters: int
    burst: int

    def loads(self) -> dict[str, tuple[str, ...]]:
        """What a client is told, by the name of the load."""
        seconds, submitters = str(self.seconds), str(self.submitters)
        return {
            "turns": ("--submitters", submitters, "--seconds", seconds),
            "burst": ("--submitters", submitters, "--burst", str(self.burst)),
            "idle": ("--submitters", "1", "--seconds", seconds),
        }


class Measurable(Protocol):
    """What is measured."""

    @property
    def name(self) -> str:
        """As the tables show it."""
        ...

    @property
    def app(self) -> str:
        """Its module in `benchmarks.jobs.apps`."""
        ...

    @property
    def shown(self) -> str:
        """Its command, as a user would type it."""
        ...


@dataclass
class Measured:
    """A peer, and what its loads have come to in each round."""

    peer: Measurable
    folder: Path
    environment: Mapping[str, str]
    loads: dict[str, list[Load]] = field(default_factory=dict[str, list[Load]])

    def client(self, words: Sequence[str]) -> Load:
        """Run a client of the peer to its end."""
        figures = self.folder / "figures.json"
        client = [sys.executable, "-m", "benchmarks.jobs.client", self.peer.app]
        ended = subprocess.run(
            [*client, "--figures", str(figures), *words],
            cwd=self.folder,
            env=environment_of(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST,
        )
        if ended.returncode:
            raise SystemExit(f"{self.peer.name}:\n{ended.stderr}")
        return json.loads(figures.read_text())

    def figures(self) -> dict[str, Any]:
        """The medians of the rounds; latencies of all rounds together."""
        return {
            "name": self.peer.name,
            "command": self.peer.shown,
            "jobs_per_second": self._rate("turns"),
            "jobs_per_second_runs": self._rates("turns"),
            "burst_jobs_per_second": self._rate("burst"),
            "burst_jobs_per_second_runs": self._rates("burst"),
            **self._latencies("turns", "loaded"),
            **self._latencies("idle", "idle"),
        }

    def _rates(self, load: str) -> list[float]:
        return [each["jobs"] / each["seconds"] for each in self.loads[load]]

    def _rate(self, load: str) -> float:
        return median(self._rates(load))

    def _latencies(self, load: str, name: str) -> dict[str, float]:
        times = sorted(time for each in self.loads[load] for time in each["latencies_ms"])
        return {
            f"{name}_p50_ms": median(times),
            f"{name}_p99_ms": times[int(len(times) * 0.99)],
        }


def measure(peers: Sequence[Peer], folder: Path, size: Size) -> list[dict[str, Any]]:
    """Run the workers of all peers, and a client of each in turns; the figures of each peer."""
    with ExitStack() as running:
        url = ""
        if any(peer.redis for peer in peers):
            url = running.enter_context(Redis(folder / "redis", options=())).url
        all_measured: list[Measured] = []
        for peer in peers:
            place = folder / peer.app
            environment = running.enter_context(peer.running(place, url))
            all_measured.append(Measured(peer, place, environment))
        in_turns(all_measured, size)
        return [each.figures() for each in all_measured]


def in_turns(all_measured: Sequence[Measured], size: Size) -> None:
    """Have each peer, whose workers run, measured under each load, in turns."""
    loads = size.loads()
    with Progress() as progress:
        steps = progress.add_task("", total=len(all_measured) * (1 + len(loads) * size.rounds))
        for each in all_measured:
            progress.update(steps, description=f"{each.peer.name}: first jobs")
            each.client(loads["turns"])
            progress.advance(steps)
        for _ in range(size.rounds):
            for load, words in loads.items():
                for each in all_measured:
                    progress.update(steps, description=f"{each.peer.name}: {load}")
                    each.loads.setdefault(load, []).append(each.client(words))
                    progress.advance(steps)
