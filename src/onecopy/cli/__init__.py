"""The `onecopy` command.

run.py         `onecopy run`, with uvicorn's options
web.py         `onecopy web`, the same without data and job workers
worker.py      `onecopy worker`, job workers alone
reload.py      `onecopy reload`
memory.py      `onecopy memory`
doctor.py      `onecopy doctor`
jobs.py        `onecopy jobs`: list, show, retry, cancel, stats, purge
jobs_store.py  the store of jobs that a command is about
jobs_times.py  times and ages as they are written on the command line
jobs_tables.py jobs, their history and their figures, as tables and as JSON
jobs_follow.py a job until it is final, with a bar
store.py       `onecopy store`: migrate, check, copy
webhooks.py    `onecopy webhooks`: list, show, replay, test
webhooks_store.py   the deliveries that a command is about
webhooks_tables.py  deliveries and their tries, as tables and as JSON
deadletters.py `onecopy deadletters`: list, show, replay
checks.py      what the doctor looks at on a machine
store_checks.py  what the doctor finds out about a store on a server
app_checks.py  what the doctor finds out about an app
webhook_checks.py  and about webhooks
choice.py      which running service a command is about
tables.py      tables that fit on a terminal, and plain ones for a pipe
"""

import importlib
import sys
import traceback
from typing import Final, override

import click

from onecopy.errors import OneCopyError, UserCodeError

_COMMANDS: Final = {
    "run": "Serve an app: one copy of its data for all workers.",
    "web": "Serve an app without its data: the web tier alone.",
    "worker": "Run the jobs of an app: the workers alone.",
    "reload": "Load a running app anew, without a failed request.",
    "memory": "Show who holds what.",
    "jobs": "List, show, retry, cancel and delete jobs.",
    "store": "Check the store of jobs, copy it into another one.",
    "deadletters": "List, show and replay messages that could not be read.",
    "webhooks": "List, show, replay and try out webhooks.",
    "doctor": "Check this machine, and how much of an app is shared.",
}


class _Commands(click.Group):
    """Imports a command when it is called: `onecopy memory` need not load uvicorn."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"onecopy.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onecopy")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, ours included.")
def _onecopy(debug: bool) -> None:
    """One copy of the data for any number of workers."""


def main() -> None:
    """Entry point of the console script."""
    if sys.platform == "win32":
        sys.exit(
            "onecopy needs fork(2), which Windows does not have. Run it in WSL or a container."
        )
    debug = "--debug" in sys.argv
    try:
        _onecopy.main(prog_name="onecopy")
    except OneCopyError as error:
        if debug:
            traceback.print_exc()
        elif isinstance(error, UserCodeError):
            click.echo(error.user_traceback, err=True, nl=False)
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
