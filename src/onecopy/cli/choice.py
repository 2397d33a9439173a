"""Which running supervisor a command is about."""

from typing import Any

import click

from onecopy.execution.state import state_folder
from onecopy.server.control import NotRunning, ask, folder_of, running_supervisors


def choose_supervisor(pid: int | None) -> int:
    """Return the supervisor with this pid, or the only one: that runs, or of this state folder.

    Raises:
        click.ClickException: there is none, or there are several and no pid was given.
    """
    running = running_supervisors()
    if pid is not None:
        if pid not in running:
            raise click.ClickException(f"{pid} is no running supervisor of onecopy")
        return pid
    if not running:
        raise click.ClickException("no onecopy service of this user is running")
    here = state_folder()
    choices = running if len(running) == 1 else [one for one in running if folder_of(one) == here]
    if len(choices) == 1:
        return choices[0]
    listed = ", ".join(f"{one} ({_asked(one)})" for one in running)
    raise click.ClickException(f"several services run, choose one with --pid: {listed}")


def name_of(status: dict[str, Any]) -> str:
    """Return what a service is, from its status: its app, and its URL or its queues."""
    # Another version's service may run too, and say less.
    queues = " ".join(["queues", *status.get("queues", ())])
    return f"{status['app']}, {status['url'] or queues}"


def _asked(supervisor: int) -> str:
    try:
        return name_of(ask(supervisor, {"command": "status"}, timeout=1))
    except NotRunning:
        return "it does not answer"
