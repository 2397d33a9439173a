"""`onecopy reload`: a new generation of a running service."""

import click

from onecopy.cli.choice import choose_supervisor
from onecopy.server.control import NotRunning, ask


@click.command("reload")
@click.option("--pid", type=int, default=None, help="The supervisor's, where several run.")
def command(pid: int | None) -> None:
    """Load a running app anew, without a failed request.

    Returns when the new generation serves; where it cannot be loaded the old one goes on, and this
    exits with the reason.
    """
    supervisor = choose_supervisor(pid)
    try:
        outcome = ask(supervisor, {"command": "reload"}, timeout=None)
    except NotRunning as error:
        raise click.ClickException(str(error)) from None
    if not outcome.get("ok"):
        raise click.ClickException(f"reload failed: {outcome.get('reason')}")
    click.echo(f"generation {outcome['generation']} serves, loaded in {outcome['seconds']:.1f} s")
