"""`onecopy jobs`: what became of jobs, and what to do about them. No app is imported."""

import json
import re
import time
from collections.abc import Sequence
from typing import Final, override

import click

from onecopy.cli.jobs_follow import follow
from onecopy.cli.jobs_store import (
    ids_of,
    job_of,
    retry_all,
    retry_one,
    state_dir_option,
    unknown,
    with_runtime,
)
from onecopy.cli.jobs_tables import (
    STATUSES,
    job_as_json,
    list_of,
    page_as_json,
    page_of,
    stats_as_json,
    stats_of,
)
from onecopy.cli.jobs_times import Age, Moment
from onecopy.cli.tables import console
from onecopy.execution.runtime import Runtime
from onecopy.jobs import FINAL, Event, Job, Status
from onecopy.stores import Filter, Stats

_DASHED_ID: Final = re.compile(r"-[A-Za-z0-9_-]{23}")

_task = click.option("--task", help="Of this task only.")
_queue = click.option("--queue", help="Of this queue only.")
_since = click.option("--since", type=Moment(), help="Accepted after: 2h (ago), or ISO 8601.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _status(*statuses: str) -> click.Choice[str]:
    return click.Choice(statuses)


class _OfOneJob(click.Command):
    """An id may begin with a dash, as an option does."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ids = [word for word in args if _DASHED_ID.fullmatch(word)]
        if ids and "--" not in args:
            args = [*(word for word in args if word not in ids), "--", *ids]
        return super().parse_args(ctx, args)


@click.group("jobs")
def command() -> None:
    """List, show, retry, cancel and delete jobs."""


@command.command("list")
@click.option(
    "--status", "statuses", type=_status(*STATUSES), multiple=True, help="May be repeated."
)
@_task
@_queue
@_since
@click.option("--until", type=Moment(), help="Accepted before: 2h (ago), or ISO 8601.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@_as_json
@state_dir_option
def list_(
    statuses: Sequence[Status],
    task: str | None,
    queue: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    as_json: bool,
    state_dir: str,
) -> None:
    """List jobs, the newest first."""
    which = Filter(
        statuses=statuses,
        task=task,
        queue=queue,
        created_after=since,
        created_before=until,
        limit=limit + 1,
    )

    async def work(runtime: Runtime) -> list[Job]:
        return await runtime.store.find(which)

    found = with_runtime(state_dir, work)
    if as_json:
        click.echo(json.dumps([job_as_json(job) for job in found[:limit]], indent=2))
    elif not found:
        click.echo("no jobs", err=True)
    else:
        out = console()
        out.print(list_of(found[:limit], out))
    if len(found) > limit:
        click.echo(f"there are more than these {limit}: see --limit and the filters", err=True)


@command.command("show", cls=_OfOneJob)
@click.argument("job", metavar="ID")
@click.option("--follow", "follows", is_flag=True, help="Show it as it runs, until it is final.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --follow, one object on each line."
)
@state_dir_option
def show(job: str, follows: bool, as_json: bool, state_dir: str) -> None:
    """Show a job: arguments, result, error, history."""

    async def work(runtime: Runtime) -> tuple[Job, list[Event]]:
        return await job_of(runtime, job), await runtime.store.events({job: -1})

    async def follow_it(runtime: Runtime) -> None:
        await follow(runtime, job, as_json=as_json)

    if follows:
        try:
            with_runtime(state_dir, follow_it)
        except KeyboardInterrupt:
            click.echo(f"job {job} goes on", err=True)
        return
    found, history = with_runtime(state_dir, work)
    if as_json:
        click.echo(json.dumps(page_as_json(found, history), indent=2))
    else:
        console().print(page_of(found, history))


@command.command("retry", cls=_OfOneJob)
@click.argument("job", metavar="[ID]", required=False)
@click.option("--failed", is_flag=True, help="All that failed, as far as the filters let them.")
@_task
@_queue
@_since
@state_dir_option
def retry(
    job: str | None,
    failed: bool,
    task: str | None,
    queue: str | None,
    since: float | None,
    state_dir: str,
) -> None:
    """Run failed or cancelled jobs again, with all their attempts anew."""
    if failed == (job is not None):
        raise click.UsageError("name a job by its id, or say --failed")
    if job is not None:
        if (task, queue, since) != (None, None, None):
            raise click.UsageError("--task, --queue and --since go with --failed only")
        with_runtime(state_dir, lambda runtime: retry_one(runtime, job))
        click.echo(f"job {job} is queued again")
        return
    which = Filter(statuses=["failed"], task=task, queue=queue, created_after=since)
    count = with_runtime(state_dir, lambda runtime: retry_all(runtime, which))
    click.echo(f"{_jobs(count)} queued again")


@command.command("cancel", cls=_OfOneJob)
@click.argument("job", metavar="ID")
@state_dir_option
def cancel(job: str, state_dir: str) -> None:
    """Cancel a queued job at once; ask a running one to end."""

    async def work(runtime: Runtime) -> Job:
        try:
            return await runtime.cancel(job)
        except KeyError:
            raise unknown(job) from None

    found = with_runtime(state_dir, work)
    if found.status == "cancelled":
        click.echo(f"job {job} is cancelled")
    elif found.final:
        raise click.ClickException(f"job {job} has {found.status} already")
    else:
        click.echo(f"job {job} runs: it was told to end")


@command.command("stats")
@_as_json
@state_dir_option
def stats(as_json: bool, state_dir: str) -> None:
    """Count jobs by queue and task; how long they wait and run on average."""

    async def work(runtime: Runtime) -> list[Stats]:
        return await runtime.store.stats()

    found = with_runtime(state_dir, work)
    if as_json:
        click.echo(json.dumps([stats_as_json(each) for each in found], indent=2))
    elif not found:
        click.echo("no jobs", err=True)
    else:
        out = console()
        out.print(stats_of(found, out))


@command.command("purge")
@click.option("--older-than", type=Age(), required=True, help="Final for so long: 30min, 12h, 7d.")
@click.option(
    "--status", "statuses", type=_status(*sorted(FINAL)), multiple=True, help="May be repeated."
)
@_task
@_queue
@state_dir_option
def purge(
    older_than: float,
    statuses: Sequence[Status],
    task: str | None,
    queue: str | None,
    state_dir: str,
) -> None:
    """Delete final jobs before their time, with their history and results."""
    before = time.time() - older_than
    # A job that ended before was accepted before.
    which = Filter(
        statuses=statuses or sorted(FINAL), task=task, queue=queue, created_before=before
    )

    async def work(runtime: Runtime) -> int:
        ids = await ids_of(
            runtime, which, lambda job: job.finished_at is not None and job.finished_at <= before
        )
        return await runtime.store.forget(ids)

    click.echo(f"{_jobs(with_runtime(state_dir, work))} deleted")


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}"
