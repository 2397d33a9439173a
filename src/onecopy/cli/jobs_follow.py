"""`onecopy jobs show --follow`: a job until it is final."""

import asyncio
import contextlib
import json
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from onecopy.cli.jobs_store import job_of
from onecopy.cli.jobs_tables import far, page_as_json, page_of, printable, timeline
from onecopy.cli.tables import console
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Event, Job, Progress

_LOOK_AGAIN: Final = 1.0
"""Seconds after which the store is asked, in case that a word of the engine was lost."""
_BAR: Final = 40

type _Show = Callable[[Job, Sequence[Event]], None]


async def follow(runtime: Runtime, job: str, *, as_json: bool) -> None:
    """Show a job as it changes, and all of it once it is final.

    Raises:
        click.ClickException: there is none of this id, or none any more.
    """
    changed = asyncio.Event()

    async def listen() -> None:
        async for each in runtime.engine.changes():
            if each == job:
                changed.set()

    listener = asyncio.create_task(listen(), name="onecopy: follow a job")
    try:
        with _screen(as_json=as_json) as show:
            while True:
                changed.clear()
                found = await job_of(runtime, job)
                history = await runtime.store.events({job: -1})
                show(found, history)
                if found.final:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LOOK_AGAIN)
    finally:
        listener.cancel()
        # Without an ear every look is after a pause, which is no reason to fail.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await listener


@contextmanager
def _screen(*, as_json: bool) -> Generator[_Show]:
    """Give what shows a state: in the place of the last on a terminal, below it elsewhere."""
    out = console()
    if as_json:
        yield _objects()
    elif not out.is_terminal:
        yield _lines(out)
    else:
        with Live(console=out, auto_refresh=False, transient=True) as live:

            def show(job: Job, history: Sequence[Event]) -> None:
                if job.final:
                    live.stop()
                    out.print(page_of(job, history))
                else:
                    live.update(_bar(job), refresh=True)

            yield show


def _objects() -> _Show:
    shown = -1

    def show(job: Job, history: Sequence[Event]) -> None:
        nonlocal shown
        if job.version != shown:
            click.echo(json.dumps(page_as_json(job, history)))
        shown = job.version

    return show


def _lines(out: Console) -> _Show:
    shown = -1

    def show(job: Job, history: Sequence[Event]) -> None:
        nonlocal shown
        for line in timeline(history, after=shown):
            click.echo(line)
        shown = history[-1].number if history else shown
        if job.final:
            out.print(Text(), page_of(job, []), sep="\n")

    return show


def _bar(job: Job) -> RenderableType:
    said = f"{printable(job.task)}: {job.status}, attempt {job.attempt} of {job.max_attempts}"
    if job.status != "running" or job.progress is None:
        return Text(said)
    share = _share(job.progress)
    bar = ProgressBar(total=1.0, completed=share or 0.0, width=_BAR, pulse=share is None)
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=_BAR)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_row(bar, Text(far(job.progress)))
    return Group(Text(said), line)


def _share(progress: Progress) -> float | None:
    """The part that is done; None if it is not known, or the task reports no numbers."""
    if not progress.total:
        return None
    share = progress.done / progress.total
    return share if math.isfinite(share) else None
