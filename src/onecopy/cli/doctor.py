"""`onecopy doctor`: whether memory can be shared here, and how much of an app is."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from onecopy.cli.app_checks import Trial, app_checks
from onecopy.cli.checks import Check, machine_checks
from onecopy.cli.engine_checks import engine_checks
from onecopy.cli.store_checks import store_checks
from onecopy.cli.tables import Column, build, console
from onecopy.cli.webhook_checks import environment_checks
from onecopy.server.narration import megabytes
from onecopy.server.trial import run_trial

_MARKS: Final = {"ok": "✓", "warning": "!", "problem": "✗"}
_STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "red"}
_COPIED_COLUMNS: Final = (
    Column("type", number=False, wraps=True),
    Column("objects"),
    Column("in pages of"),
)
_MOST_TYPES: Final = 15
"""Rows of the table by type; `--json` has all of them."""


@click.command("doctor")
@click.argument("app", required=False)
@click.option(
    "--app-dir",
    default="",
    envvar="ONECOPY_APP_DIR",
    help="Look for APP in this folder.  [default: the working folder]",
)
@click.option("--factory", is_flag=True, envvar="ONECOPY_FACTORY", help="APP makes the app.")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False),
    envvar="ONECOPY_ENV_FILE",
    help="Variables to set before the import.",
)
@click.option(
    "--lifespan",
    type=click.Choice(["auto", "on", "off", "image"]),
    default="auto",
    envvar="ONECOPY_LIFESPAN",
    help="With image: run the lifespan's start-up before the seal, as the run will.",
)
@click.option(
    "--state-dir",
    default=".onecopy",
    show_default=True,
    envvar="ONECOPY_STATE_DIR",
    help="The folder to check.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, ours included.")
def command(
    app: str | None,
    app_dir: str,
    factory: bool,
    env_file: str | None,
    lifespan: str,
    state_dir: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Check this machine, and how much of an app is shared.

    With APP (module:attribute) the app and its datasets are loaded and sealed as for a run. A
    forked child then uses every object there is; what it had to copy is told by type.

    Exits with 1 if there is a problem.
    """
    out = console()
    checks = [*machine_checks(state_dir), *store_checks(), *engine_checks(), *environment_checks()]
    if not as_json:
        _print_checks(out, checks)
    report: dict[str, Any] = {"checks": checks, "app": None}
    if app is not None:
        uvicorn = {"factory": factory, "env_file": env_file}
        trial = _try(app, app_dir, uvicorn, lifespan_in_image=lifespan == "image", debug=debug)
        found = list(app_checks(trial))
        checks = [*checks, *found]
        report["app"] = {"checks": found, **_plain(trial)}
        if not as_json:
            _print_trial(out, trial, found)
    if as_json:
        click.echo(json.dumps(report, default=asdict, indent=2))
    else:
        out.print(f"\n{_verdict(checks)}")
    if any(check.verdict == "problem" for check in checks):
        sys.exit(1)


def _try(
    app: str, app_dir: str, uvicorn: dict[str, Any], *, lifespan_in_image: bool, debug: bool
) -> Trial:
    if not os.path.isdir(app_dir or "."):
        raise click.BadParameter(f"{app_dir} is no folder", param_hint="--app-dir")
    if lifespan_in_image:
        uvicorn["lifespan"] = "on"
    warnings: list[str] = []
    found: dict[str, Any] = {}
    events = run_trial(
        app, app_dir=app_dir, uvicorn=uvicorn, lifespan_in_image=lifespan_in_image, debug=debug
    )
    with closing(events), _progress() as progress:
        task = progress.add_task(f"starting {app}")
        for event in events:
            if "busy" in event:
                progress.update(task, description=event["busy"])
            elif event.get("level") == "warning":
                warnings.append(event["message"])
            elif "event" in event:
                found = event
    if found["event"] == "failed":
        click.echo(found["traceback"], err=True, nl=False)
        raise click.ClickException(found["reason"])
    return Trial.of(app, found, warnings)


def _progress() -> Progress:
    """What is done now, and for how long; gone when it is done. Nothing where nobody looks."""
    on = console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description} …", markup=False),
        TimeElapsedColumn(),
        console=on,
        transient=True,
        disable=not on.is_terminal,
    )


def _plain(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON has it: rows by the names of their fields."""
    plain = asdict(trial)
    plain["left_out"] = [row._asdict() for row in trial.left_out]
    plain["unwalkable"] = [row._asdict() for row in trial.unwalkable]
    if trial.sharing is not None:
        plain["sharing"]["share"] = round(trial.sharing.share, 4)
        plain["sharing"]["copied"] = [row._asdict() for row in trial.sharing.copied]
    return plain


def _print_checks(on: Console, checks: Sequence[Check]) -> None:
    width = max(len(check.name) for check in checks)
    if not on.is_terminal or on.options.ascii_only:
        for check in checks:
            click.echo(f"{check.verdict:7}  {check.name:{width}}  {check.found}")
            if check.cure is not None:
                click.echo(f"{'':7}  {'':{width}}  Cure: {check.cure}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        words = Text(check.found)
        if check.cure is not None:
            words.append(f"\nCure: {check.cure}", "bold")
        table.add_row(Text(_MARKS[check.verdict], _STYLES[check.verdict]), check.name, words)
    on.print(table)


def _print_trial(on: Console, trial: Trial, found: list[Check]) -> None:
    on.print(f"\n{trial.app}: {megabytes(trial.image_bytes)} once it is loaded")
    _print_checks(on, found)
    copied = [] if trial.sharing is None else [row for row in trial.sharing.copied if row.bytes]
    if not copied:
        return
    rows = [[row.type, f"{row.objects:,}", f"{row.bytes / 1000:,.0f} kB"] for row in copied]
    on.print("\nWritten to by mere use, and so copied by each worker, by type:")
    on.print(build(_COPIED_COLUMNS, rows[:_MOST_TYPES], on))
    if len(rows) > _MOST_TYPES:
        on.print(f"and {len(rows) - _MOST_TYPES} more types (--json has them)")


def _verdict(checks: list[Check]) -> str:
    counts = [
        f"{count} {verdict}{'s' if count > 1 else ''}"
        for verdict in ("problem", "warning")
        if (count := sum(check.verdict == verdict for check in checks))
    ]
    return ", ".join(counts) or "All is well."
