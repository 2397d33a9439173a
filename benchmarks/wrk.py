"""Load from outside, by wrk: https://github.com/wg/wrk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """What wrk saw; errors: requests that failed or were not answered 2xx."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds


def check() -> None:
    """Exit with one line if there is no wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("This benchmark needs wrk: apt-get install wrk")


def get(url: str, paths_file: Path, seconds: float, connections: int) -> Load:
    """Request the paths of a file (one a line) at random, keep-alive, on so many connections."""
    return _load("get.lua", url, seconds, connections, {"WRK_PATHS": str(paths_file)})


def post(url: str, body: str, seconds: float, connections: int) -> Load:
    """Post a JSON body again and again, keep-alive, on so many connections."""
    return _load("post.lua", url, seconds, connections, {"WRK_BODY": body})


def _load(script: str, url: str, seconds: float, connections: int, more: dict[str, str]) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(_HERE / script)]
    output = subprocess.run(
        [*command, url], env={**os.environ, **more}, capture_output=True, text=True, check=True
    ).stdout
    figures = json.loads(output.splitlines()[-1])
    return Load(
        requests=figures["requests"],
        seconds=figures["duration_us"] / 1e6,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        errors=figures["errors"],
    )
