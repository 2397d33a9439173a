"""What the benchmark needs of a peer: to submit a job, and to wait for its result."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "BENCHMARK_FOLDER"
REDIS: Final = "BENCHMARK_REDIS"
BROKER: Final = "BENCHMARK_BROKER"


@dataclass(frozen=True)
class InThreads:
    """A peer whose API blocks: each submitter is a thread."""

    submit: Callable[[], Any]
    wait: Callable[[Any], object]


@dataclass(frozen=True)
class InTasks:
    """A peer whose API is async: each submitter is a task of one event loop."""

    submit: Callable[[], Awaitable[Any]]
    wait: Callable[[Any], Awaitable[object]]
    begin: Callable[[], Awaitable[object]]
    end: Callable[[], Awaitable[object]]


type Peer = InThreads | InTasks


def folder() -> Path:
    """Where the peer keeps its files."""
    return Path(os.environ[FOLDER])


def redis_url() -> str:
    """The Redis of this run."""
    return os.environ[REDIS]


def broker_url() -> str:
    """The broker of this peer, where there are several."""
    return os.environ[BROKER]
