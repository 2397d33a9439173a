"""A call of a task that does nothing, beside a bare echo over a Unix socket.

`python -m benchmarks.call`: one question at a time, from this process to another and back: an
echo on a kept connection, an echo with a connection for each question, `task.call` of an async and
of a sync task. In turns; the medians of all count.
Aim: at most 250 microseconds, or twice the echo.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts, loops
from benchmarks.call.app import nothing_async, nothing_sync
from benchmarks.call.echo import Client
from benchmarks.processes import BIN, program
from onecopy.execution.connect import close_here
from onecopy.execution.state import STATE_DIR

AIM_US: Final = 250.0
AIM_ECHOES: Final = 2.0
_WARM: Final = 50
_WORKER: Final = (str(BIN / "onecopy"), "worker", "benchmarks.call.app:app", "--workers", "1")
_QUESTION: Final = b'{"task": "nothing", "arguments": "{\\"number\\": 1}", "timeout": 30.0}\n'

type Ask = Callable[[], Awaitable[object]]


async def measure(echo: Path, rounds: int, questions: int) -> list[dict[str, Any]]:
    """Ask in each way so often, in so many turns; a row for each way."""
    kept = await Client.connect(echo)

    async def connected() -> None:
        client = await Client.connect(echo)
        await client.ask(_QUESTION)
        client.close()

    ways: Mapping[str, Ask] = {
        "echo": lambda: kept.ask(_QUESTION),
        "echo, a connection each": connected,
        "call, async task": lambda: nothing_async.call(1),
        "call, sync task": lambda: nothing_sync.call(1),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for ask in ways.values():
            await _ask(ask, _WARM)
        for _ in track(range(rounds), "in turns"):
            for name, ask in ways.items():
                times[name] += await _ask(ask, questions)
    finally:
        kept.close()
        await close_here()
    return [_row(name, sorted(found), median(times["echo"])) for name, found in times.items()]


async def _ask(ask: Ask, often: int) -> list[float]:
    """Microseconds of each."""
    times: list[float] = []
    for _ in range(often):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1e6)
    return times


def _row(name: str, times: list[float], echo: float) -> dict[str, Any]:
    return {
        "name": name,
        "p50_us": median(times),
        "p99_us": times[int(len(times) * 0.99)],
        "echoes": median(times) / echo,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Calls beside a bare echo.")
    parser.add_argument("--rounds", type=int, default=10, help="turns of all ways")
    parser.add_argument("--questions", type=int, default=500, help="of each way in each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        os.environ[STATE_DIR] = str(folder / "state")
        running.enter_context(program(_WORKER, folder / "worker", lambda log: "works on" in log))
        echo = folder / "echo.sock"
        command = (sys.executable, "-m", "benchmarks.call.echo", str(echo))
        running.enter_context(program(command, folder / "echo", lambda log: "echoes" in log))
        rows = loops.run(measure(echo, options.rounds, options.questions))
    for row in rows:
        print(
            f"{row['name']:>24}: p50 {row['p50_us']:>5,.0f} us, p99 {row['p99_us']:>6,.0f} us, "
            f"{row['echoes']:.1f} echoes"
        )
    figures = {"aim_us": AIM_US, "aim_echoes": AIM_ECHOES, "loop": loops.name(), "ways": rows}
    _facts.save("call", figures)


if __name__ == "__main__":
    main()
