"""`onecopy memory`: who holds what."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from onecopy import heap
from onecopy.cli.choice import choose_supervisor, name_of
from onecopy.cli.tables import Column, build, console, duration
from onecopy.server.control import NotRunning, ask, running_supervisors
from onecopy.server.narration import megabytes

_WORKERS: Final = ("web", "job")
_ROLES: Final = {"web": "web worker", "job": "job worker"}
_PROCESS_COLUMNS: Final = (
    Column("process", number=False),
    Column("pid", leaves=1),
    Column("generation", leaves=4),
    Column("PSS"),
    Column("private"),
    Column("shared", leaves=3),
    Column("uptime", leaves=2),
)
_DATASET_COLUMNS: Final = (
    Column("dataset", number=False, wraps=True),
    Column("kind", number=False, leaves=2),
    Column("size"),
    Column("objects", leaves=1),
    Column("loaded in", leaves=3),
)
_LEAST_REST: Final = 10
"""`--watch` rests so many times as long as a look takes: to measure, the kernel walks the page
tables of every process, which takes a while where they are large."""


@dataclass(frozen=True)
class Process:
    """One process of a service; bytes that the system does not tell apart are None."""

    pid: int
    role: str
    generation: int
    pss_bytes: int
    private_bytes: int | None
    shared_bytes: int | None
    uptime_seconds: float


@dataclass(frozen=True)
class Dataset:
    """One dataset as its image has counted it; None: not known."""

    name: str
    kind: str
    bytes: int | None
    objects: int | None
    load_seconds: float | None


@dataclass(frozen=True)
class Holdings:
    """What `--json` prints: all sizes in bytes."""

    supervisor_pid: int
    total_pss_bytes: int
    one_process_bytes: int
    separate_copies_bytes: int
    processes: list[Process]
    datasets: list[Dataset]


@click.command("memory")
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one object on each line."
)
@click.option("--pid", type=int, default=None, help="The supervisor's, where several run.")
def command(watch: bool, interval: float, as_json: bool, pid: int | None) -> None:
    """Show who holds what: memory by process and by dataset.

    PSS is a process's fair share: what it holds alone, and of each page that n processes share the
    n-th part. The sum over all processes is what the service takes.
    """
    supervisor = choose_supervisor(pid)
    if watch:
        _watch(supervisor, interval, as_json=as_json)
        return
    try:
        status = ask(supervisor, {"command": "status"})
    except NotRunning as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(asdict(measure(status)), indent=2))
    else:
        out = console()
        out.print(_draw(out, status))


def measure(status: dict[str, Any]) -> Holdings:
    """Measure the processes that a supervisor named; one that has gone since is left out."""
    processes = [found for said in status["processes"] if (found := _process(said)) is not None]
    workers = sum(process.role in _WORKERS for process in processes)
    return Holdings(
        supervisor_pid=status["supervisor_pid"],
        total_pss_bytes=sum(process.pss_bytes for process in processes),
        one_process_bytes=status["one_process_bytes"],
        separate_copies_bytes=workers * status["one_process_bytes"],
        processes=processes,
        datasets=[
            Dataset(**{name: said[name] for name in Dataset.__dataclass_fields__})
            for said in status["datasets"]
        ],
    )


def _process(said: dict[str, Any]) -> Process | None:
    pid: int = said["pid"]
    try:
        found = heap.memory([pid]).get(pid)
    except PermissionError:  # The number has gone to a process of somebody else.
        return None
    if found is None:
        return None
    return Process(
        pid=pid,
        role=said["role"],
        generation=said["generation"],
        pss_bytes=found.pss_bytes,
        private_bytes=found.private_bytes if found.exact else None,
        shared_bytes=found.shared_bytes if found.exact else None,
        uptime_seconds=said["uptime_seconds"],
    )


def _watch(supervisor: int, interval: float, *, as_json: bool) -> None:
    try:
        with _screen(as_json=as_json) as show:
            while True:
                began = time.monotonic()
                show(ask(supervisor, {"command": "status"}))
                time.sleep(max(interval, _LEAST_REST * (time.monotonic() - began)))
    except KeyboardInterrupt:
        return
    except NotRunning as error:
        if supervisor in running_supervisors():
            raise click.ClickException(str(error)) from None
        click.echo(f"the service {supervisor} has ended", err=True)


@contextmanager
def _screen(*, as_json: bool) -> Generator[Callable[[dict[str, Any]], None]]:
    """Give what shows a state: in the place of the last on a terminal, below it elsewhere."""
    out = console()
    if as_json:
        yield lambda status: click.echo(json.dumps(asdict(measure(status))))
    elif not out.is_terminal:
        yield lambda status: out.print(_draw(out, status), end="\n\n")
    else:
        # Drawn by this thread alone, and so never in the middle of a look.
        with Live(console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
            yield lambda status: live.update(_draw(out, status), refresh=True)


def _draw(on: Console, status: dict[str, Any]) -> RenderableType:
    holdings = measure(status)
    parts: list[RenderableType] = [
        Text(f"{name_of(status)}, generation {status['generation']}"),
        Text(_summary(holdings)),
        Text(),
        build(_PROCESS_COLUMNS, map(_process_row, holdings.processes), on),
    ]
    if holdings.datasets:
        parts += [Text(), build(_DATASET_COLUMNS, map(_dataset_row, holdings.datasets), on)]
    if any(process.private_bytes is None for process in holdings.processes):
        parts += [Text(), Text(_INEXACT)]
    return Group(*parts)


_INEXACT: Final = (
    "This system does not tell private from shared memory: what processes share is counted in "
    "each of them, and the total is too high. Measure on Linux."
)


def _summary(holdings: Holdings) -> str:
    total = holdings.total_pss_bytes
    said = f"{megabytes(total)} in all"
    if not holdings.separate_copies_bytes:
        return f"{said}; no worker runs yet"
    workers = sum(process.role in _WORKERS for process in holdings.processes)
    copies = f"{workers} separate copies" if workers > 1 else "a process of its own"
    times = holdings.separate_copies_bytes / max(1, total)
    return (
        f"{said}; {copies} would take {megabytes(holdings.separate_copies_bytes)}"
        f" ({times:.1f} times as much)"
    )


def _process_row(process: Process) -> list[str]:
    return [
        _ROLES.get(process.role, process.role),
        str(process.pid),
        str(process.generation),
        megabytes(process.pss_bytes),
        _size(process.private_bytes),
        _size(process.shared_bytes),
        duration(process.uptime_seconds),
    ]


def _dataset_row(dataset: Dataset) -> list[str]:
    return [
        dataset.name,
        dataset.kind,
        _size(dataset.bytes),
        "-" if dataset.objects is None else f"{dataset.objects:,}",
        "-" if dataset.load_seconds is None else duration(dataset.load_seconds),
    ]


def _size(count: int | None) -> str:
    return "-" if count is None else megabytes(count)
