"""Which running supervisor a command is about."""

import click

from onecopy.server.control import running_supervisors


def choose_supervisor(pid: int | None) -> int:
    """Return the supervisor with this pid, or the only one that runs.

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
    if len(running) > 1:
        pids = ", ".join(map(str, running))
        raise click.ClickException(f"several services run ({pids}): choose one with --pid")
    return running[0]
