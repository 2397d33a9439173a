"""Accepting jobs over HTTP while the broker is there, and while it is away: the same rate.

`python -m benchmarks.accept.brokers`: one web worker and no job worker, on each store with each
broker; wrk posts on 32 kept connections; the broker is killed and started again in turns. The web
worker has a CPU of its own, as it has where a broker is on another host: what the broker itself
needs is not counted. Aim: the rates differ by 10% at most.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts, wrk
from benchmarks.accept.__main__ import CONNECTIONS, post
from benchmarks.processes import BIN, on_cpus, program, shown
from servers.choice import Choice, chosen
from servers.process import Missing, free_port

AIM: Final = 0.9
_STORES: Final = ("postgres", "redis")
_BROKERS: Final = ("rabbitmq", "kafka")
_CPUS: Final = os.sched_getaffinity(0)
_COMMAND: Final = ("web", "benchmarks.accept.app:app", "--workers", "1", "--no-access-log")


def measure(store: str, broker: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Post jobs with the broker up and down, in turns. Raises Missing."""
    with _others(), chosen(broker, store) as choice, _served(choice) as port:
        post(port, "job", 1)
        turns = track(range(rounds), f"{store}, {broker}")
        rates = [_turn(choice, broker, port, seconds) for _ in turns]
    up, down = (median(rate) for rate in zip(*rates, strict=True))
    return {
        "store": store,
        "broker": broker,
        "command": shown((str(BIN / "onecopy"), *_COMMAND)),
        "up_per_second": up,
        "down_per_second": down,
        "ratio": down / up,
        "runs": rates,
    }


def _is_ready(log: str) -> bool:
    return "onecopy serves" in log


def _others() -> AbstractContextManager[None]:
    """Leave a CPU to the web worker, if there are two."""
    return on_cpus(_CPUS - {min(_CPUS)} or _CPUS)


@contextmanager
def _served(choice: Choice) -> Generator[int]:
    """Run the service on a CPU of its own; yields its port."""
    port = free_port()
    command = (str(BIN / "onecopy"), *_COMMAND, "--port", str(port))
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        with on_cpus({min(_CPUS)}):
            service = program(command, Path(folder), _is_ready, choice.variables)
            running.enter_context(service)
        yield port


def _turn(choice: Choice, broker: str, port: int, seconds: float) -> tuple[float, float]:
    """Jobs accepted in a second with the broker, and without it."""
    up = post(port, "job", seconds).per_second
    choice.servers[broker].kill()
    down = post(port, "job", seconds).per_second
    choice.servers[broker].start()
    return up, down


def main() -> None:
    parser = argparse.ArgumentParser(description="Accepting jobs, with the broker and without.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in a turn")
    options = parser.parse_args()
    wrk.check()
    rows: list[dict[str, Any]] = []
    for store in _STORES:
        for broker in _BROKERS:
            try:
                rows.append(measure(store, broker, options.rounds, options.seconds))
            except Missing as error:
                print(f"{store}, {broker}: left out: {error}")
    for row in rows:
        print(
            f"{row['store']:>10} {row['broker']:>10}: {row['up_per_second']:>6,.0f}/s, without it "
            f"{row['down_per_second']:>6,.0f}/s, {row['ratio']:.2f} of it"
        )
    _facts.save("accept_brokers", {"aim": AIM, "connections": CONNECTIONS, "rows": rows})


if __name__ == "__main__":
    main()
