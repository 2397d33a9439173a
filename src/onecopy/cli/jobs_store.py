"""The store of jobs that a command is about, and what is done to many jobs at once."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

import click

from onecopy.execution.connect import STORE, new_runtime, store_url
from onecopy.execution.runtime import Runtime
from onecopy.execution.state import STATE_DIR
from onecopy.jobs import Job, NotAllowed, Requeue
from onecopy.stores import Filter, Unavailable
from onecopy.stores.urls import file_of

AT_ONCE: Final = 100
"""Jobs that are read, or changed, in one step."""
state_dir_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False),
    default=".onecopy",
    envvar=STATE_DIR,
    show_default=True,
    show_envvar=True,
    help="The service's folder. The store is in it, unless ONECOPY_STORE names another.",
)


def with_runtime[T](state_dir: str, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
    """Open the store, do the work, and return what it returns.

    Raises:
        click.ClickException: there is no store here, or it cannot be used now.
    """
    use(state_dir)
    must_be_there(store_url())
    try:
        return asyncio.run(_open_and(work))
    except Unavailable as error:
        raise click.ClickException(str(error)) from error


def use(state_dir: str) -> None:
    """Have the service's folder be this one."""
    os.environ[STATE_DIR] = state_dir


def must_be_there(url: str) -> None:
    """A question is not to make an empty store, in a folder where nobody serves."""
    if url.startswith("memory:"):
        raise click.ClickException(f"{STORE} is {url}: such jobs can be seen in their process only")
    path = file_of(url)
    if path is None or os.path.exists(path):
        return
    cure = (
        f"see {STORE}"
        if os.environ.get(STORE)
        else f"name the service's with --state-dir or {STORE}"
    )
    raise click.ClickException(f"there is no store of jobs here: no file {path}; {cure}")


async def _open_and[T](work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
    runtime = new_runtime()
    try:
        try:
            await runtime.open()
        except OSError as error:
            raise Unavailable(f"cannot open the state folder: {error}") from error
        return await work(runtime)
    finally:
        await runtime.close()


async def job_of(runtime: Runtime, job: str) -> Job:
    """Return a job.

    Raises:
        click.ClickException: there is none of this id.
    """
    found = await runtime.job(job)
    if found is None:
        raise unknown(job)
    return found


def unknown(job: str) -> click.ClickException:
    """Return what to raise for an id that no job has; ids are compared whole."""
    return click.ClickException(f"there is no job {job}: it may have been deleted since")


async def ids_of(
    runtime: Runtime, which: Filter, condition: Callable[[Job], bool] = lambda _: True
) -> list[str]:
    """Return the ids of all jobs that are found, the oldest first, however many they are."""
    found: dict[str, None] = {}
    async for job in _all(runtime, replace(which, limit=AT_ONCE)):
        if condition(job):
            found[job.id] = None
    return [*reversed(found)]


async def _all(runtime: Runtime, which: Filter) -> AsyncIterator[Job]:
    """Yield jobs page by page; some of them twice if jobs are deleted meanwhile."""
    while True:
        try:
            page = await runtime.store.find(which)
        except KeyError:  # The last one of the page before is gone: from the newest once more.
            which = replace(which, older_than=None)
            continue
        for job in page:
            yield job
        if len(page) < which.limit:
            return
        which = replace(which, older_than=page[-1].id)


async def retry_one(runtime: Runtime, job: str) -> None:
    """Queue a job again, and wake a worker for it.

    Raises:
        click.ClickException: there is none of this id, or it neither failed nor was cancelled.
    """
    try:
        await runtime.change(job, Requeue())
    except KeyError:
        raise unknown(job) from None
    except NotAllowed as error:
        raise click.ClickException(str(error)) from None


async def retry_all(runtime: Runtime, which: Filter) -> int:
    """Queue all these jobs again, and wake workers for them; return how many."""

    async def requeue(job: str) -> Job | None:
        try:
            return await runtime.change(job, Requeue())
        except (KeyError, NotAllowed):
            return None  # Deleted meanwhile, or somebody else was quicker.

    changed = _in_steps(await ids_of(runtime, which), requeue)
    return sum([job is not None async for job in changed])


async def _in_steps[T](
    jobs: Sequence[str], work: Callable[[str], Coroutine[Any, Any, T]]
) -> AsyncIterator[T]:
    """Do the same to each job, some at once: a store writes together what comes together."""
    for first in range(0, len(jobs), AT_ONCE):
        for done in await asyncio.gather(*map(work, jobs[first : first + AT_ONCE])):
            yield done
