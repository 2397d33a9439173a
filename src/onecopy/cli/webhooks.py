"""`onecopy webhooks`: what became of webhooks, and what to do about them. No app is imported."""

import json
import os
from collections.abc import Sequence
from typing import Final, get_args

import click

from onecopy.cli.jobs_store import state_dir_option, with_runtime
from onecopy.cli.jobs_times import Moment
from onecopy.cli.tables import console
from onecopy.cli.webhooks_store import Looked, look_at, page_of, replay_all, replay_one, try_out
from onecopy.cli.webhooks_tables import as_json, list_of, page_as_json, page_on
from onecopy.deliveries import Status
from onecopy.execution.runtime import Runtime
from onecopy.execution.state import STATE_DIR
from onecopy.stores import DeliveryFilter

_STATUSES: Final = get_args(Status.__value__)

_job = click.option("--job", help="Of this job only.")
_url = click.option("--url", help="To this URL only.")
_since = click.option("--since", type=Moment(), help="Made after: 2h (ago), or ISO 8601.")
_as_json = click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")


@click.group("webhooks")
def command() -> None:
    """List, show, replay and try out webhooks."""


@command.command("list")
@click.option(
    "--status", "statuses", type=click.Choice(_STATUSES), multiple=True, help="May be repeated."
)
@_job
@_url
@_since
@click.option("--until", type=Moment(), help="Made before: 2h (ago), or ISO 8601.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@_as_json
@state_dir_option
def list_(
    statuses: Sequence[Status],
    job: str | None,
    url: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    json_wanted: bool,
    state_dir: str,
) -> None:
    """List webhooks, the newest first."""
    which = DeliveryFilter(
        statuses=statuses,
        job=job,
        url=url,
        created_after=since,
        created_before=until,
        limit=limit + 1,
    )

    async def work(runtime: Runtime) -> list[Looked]:
        return await page_of(runtime, which)

    found = with_runtime(state_dir, work)
    if json_wanted:
        click.echo(json.dumps([as_json(each) for each in found[:limit]], indent=2))
    elif not found:
        click.echo("no webhooks", err=True)
    else:
        out = console()
        out.print(list_of(found[:limit], out))
    if len(found) > limit:
        click.echo(f"there are more than these {limit}: see --limit and the filters", err=True)


@command.command("show")
@click.argument("webhook", metavar="ID")
@_as_json
@state_dir_option
def show(webhook: str, json_wanted: bool, state_dir: str) -> None:
    """Show a webhook: where it goes, what it says, each try."""
    found = with_runtime(state_dir, lambda runtime: look_at(runtime, webhook))
    if json_wanted:
        click.echo(json.dumps(page_as_json(found), indent=2))
    else:
        out = console()
        out.print(page_on(found, out))


@command.command("replay")
@click.argument("webhook", metavar="[ID]", required=False)
@click.option("--failed", is_flag=True, help="All that failed, as far as the filters let them.")
@click.option("--disabled", is_flag=True, help="All whose URL wanted no more (410), likewise.")
@_job
@_url
@_since
@state_dir_option
def replay(
    webhook: str | None,
    failed: bool,
    disabled: bool,
    job: str | None,
    url: str | None,
    since: float | None,
    state_dir: str,
) -> None:
    """Send webhooks again, under the same id, with all their tries anew."""
    if (failed or disabled) == (webhook is not None):
        raise click.UsageError("name a webhook by its id, or say --failed or --disabled")
    if webhook is not None:
        if (job, url, since) != (None, None, None):
            raise click.UsageError("--job, --url and --since go with --failed and --disabled only")
        with_runtime(state_dir, lambda runtime: replay_one(runtime, webhook))
        click.echo(f"webhook {webhook} is sent again")
        return
    statuses: list[Status] = [*(["failed"] if failed else []), *(["disabled"] if disabled else [])]
    which = DeliveryFilter(statuses=statuses, job=job, url=url, created_after=since)
    count = with_runtime(state_dir, lambda runtime: replay_all(runtime, which))
    click.echo(f"{count:,} webhook{'' if count == 1 else 's'} sent again")


@command.command("test")
@click.argument("url")
@state_dir_option
def test(url: str, state_dir: str) -> None:
    """Send a webhook `webhook.test` to a URL now, once, and say what came of it.

    Signed and checked as those of the service are: with the environment's secrets, the key of its
    state folder, and the networks that the environment allows.
    """
    os.environ[STATE_DIR] = state_dir
    outcome = try_out(url)
    if not outcome.succeeded:
        raise click.ClickException(f"{outcome.error} (after {outcome.seconds:.2f} s)")
    click.echo(f"answered {outcome.status_code} after {outcome.seconds:.2f} s")
