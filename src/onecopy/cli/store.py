"""`onecopy store`: the store of jobs itself; brought up to date, looked at, copied elsewhere."""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from onecopy.cli.jobs_store import must_be_there, state_dir_option, use
from onecopy.execution.connect import store_url
from onecopy.execution.copying import Cannot, Contents, contents, copy, leased, missing
from onecopy.stores import Concerned, IdempotencyConflict, Store, Unavailable
from onecopy.stores.urls import open_store

_url = click.argument("url", required=False)


@click.group("store")
def command() -> None:
    """Bring the store of jobs up to date, check it, copy it into another one.

    URL is that of a store, such as postgresql://user@host/database; left out, ONECOPY_STORE or the
    file in the service's folder.
    """


@command.command("migrate")
@_url
@state_dir_option
def migrate(url: str | None, state_dir: str) -> None:
    """Make a store's tables, or bring them up to date.

    Every process does so when it starts: this is for who grants that right to one user alone.
    """
    use(state_dir)
    _run(_migrate(url or store_url()))
    click.echo("the store is up to date")


async def _migrate(url: str) -> None:
    async with _opened(url):
        pass


@command.command("check")
@_url
@state_dir_option
def check(url: str | None, state_dir: str) -> None:
    """Say what a store has, and what could lose jobs in it: then it ends with 1."""
    use(state_dir)
    url = url or store_url()
    must_be_there(url)
    if _run(_check(url)):
        raise SystemExit(1)


async def _check(url: str) -> list[str]:
    async with _opened(url) as store:
        counts: dict[str, int] = {}
        for each in await store.stats():
            for status, count in each.counts.items():
                counts[status] = counts.get(status, 0) + count
        concerns = await store.concerns() if isinstance(store, Concerned) else []
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        click.echo(f"jobs: {told or 'none'}")
        click.echo(f"held by workers: {await leased(store, time.time())}")
    for concern in concerns:
        click.echo(f"its server {concern}", err=True)
    return concerns


@command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--force", is_flag=True, help="Copy even what workers hold: it may be run twice.")
def copy_(source: str, target: str, force: bool) -> None:
    """Copy all jobs from one store into another, with their events and webhooks.

    Stop the service, copy, start it with ONECOPY_STORE set to TO. It may be broken off and done
    again; what TO has as new is left as it is.
    """
    must_be_there(source)
    what, put = _run(_copy(source, target, force=force))
    jobs, deliveries = len(what.jobs), len(what.deliveries)
    click.echo(f"{jobs} jobs and {deliveries} webhooks are there, {put} jobs of them put there now")


async def _copy(source: str, target: str, *, force: bool) -> tuple[Contents, int]:
    async with _opened(source) as old, _opened(target) as new:
        held = await leased(old, time.time())
        if held and not force:
            raise click.ClickException(
                f"workers hold {held} jobs: stop them, and wait until their leases are over, a "
                "minute at most; or copy all the same with --force: these may be run twice"
            )
        what = await contents(old)
        with _bar(what) as (progress, line):
            put = await copy(old, new, what, lambda count: progress.advance(line, count))
        left = await missing(await contents(old), new)
        if left:
            raise click.ClickException(
                f"{left} jobs or webhooks changed meanwhile: stop the service and copy once more"
            )
        return what, put


@contextmanager
def _bar(what: Contents) -> Generator[tuple[Progress, TaskID]]:
    """Show a bar on the terminal, where there is one."""
    columns = (TextColumn("copying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress, progress.add_task("copying", total=what.count)


@asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Store]:
    store = open_store(url)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (Unavailable, Cannot, IdempotencyConflict) as error:
        raise click.ClickException(str(error)) from error
