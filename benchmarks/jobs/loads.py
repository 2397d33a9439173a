"""Two loads: submitters that wait for each result, and all jobs at once with the results after."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypedDict

from benchmarks.jobs.apps.seam import InTasks, InThreads, Peer
from benchmarks.loops import run


class Load(TypedDict):
    """What a load came to; the latencies are of whole jobs, and none are known of a burst."""

    jobs: int
    seconds: float
    latencies_ms: list[float]


def in_turns(peer: Peer, submitters: int, seconds: float) -> Load:
    """Let each submitter submit a job, wait for its result, and begin again, for some seconds."""
    if isinstance(peer, InTasks):
        return run(_tasks(peer, submitters, lambda: _turns_of_task(peer, seconds)))
    return _threads(peer, submitters, lambda: _turns_of_thread(peer, seconds))


def burst(peer: Peer, submitters: int, jobs: int) -> Load:
    """Let the submitters submit so many jobs together, and wait for the results after that."""
    share = jobs // submitters
    if isinstance(peer, InTasks):
        return run(_tasks(peer, submitters, lambda: _burst_of_task(peer, share)))
    return _threads(peer, submitters, lambda: _burst_of_thread(peer, share))


# Tasks of one event loop.


async def _tasks(
    peer: InTasks, submitters: int, one: Callable[[], Awaitable[Sequence[float]]]
) -> Load:
    await peer.begin()
    try:
        # Connections are made, and the worker has run the task before.
        await asyncio.gather(*(_job_of_task(peer) for _ in range(submitters)))
        began = time.perf_counter()
        times = await asyncio.gather(*(one() for _ in range(submitters)))
        return _load(times, time.perf_counter() - began)
    finally:
        await peer.end()


async def _job_of_task(peer: InTasks) -> float:
    began = time.perf_counter()
    await peer.wait(await peer.submit())
    return (time.perf_counter() - began) * 1e3


async def _turns_of_task(peer: InTasks, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    times: list[float] = []
    while time.perf_counter() < end:
        times.append(await _job_of_task(peer))
    return times


async def _burst_of_task(peer: InTasks, jobs: int) -> list[float]:
    handles = [await peer.submit() for _ in range(jobs)]
    for handle in handles:
        await peer.wait(handle)
    return [0.0] * jobs


# Threads.


def _threads(peer: InThreads, submitters: int, one: Callable[[], Sequence[float]]) -> Load:
    together = threading.Barrier(submitters + 1)
    times: list[Sequence[float]] = []

    def submitter() -> None:
        _job_of_thread(peer)  # In this thread: the connections of some peers belong to it.
        together.wait()
        times.append(one())

    threads = [threading.Thread(target=submitter) for _ in range(submitters)]
    for thread in threads:
        thread.start()
    together.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return _load(times, time.perf_counter() - began)


def _job_of_thread(peer: InThreads) -> float:
    began = time.perf_counter()
    peer.wait(peer.submit())
    return (time.perf_counter() - began) * 1e3


def _turns_of_thread(peer: InThreads, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    times: list[float] = []
    while time.perf_counter() < end:
        times.append(_job_of_thread(peer))
    return times


def _burst_of_thread(peer: InThreads, jobs: int) -> list[float]:
    handles: list[Any] = [peer.submit() for _ in range(jobs)]
    for handle in handles:
        peer.wait(handle)
    return [0.0] * jobs


def _load(times: Sequence[Sequence[float]], seconds: float) -> Load:
    known = [each for of_one in times for each in of_one]
    return Load(jobs=len(known), seconds=seconds, latencies_ms=[each for each in known if each])
