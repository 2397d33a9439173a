"""`onecopy deadletters`: messages of brokers that could not be read. No app is imported."""

import asyncio
import json
import os
from collections.abc import Coroutine
from typing import Any, Final

import click

from onecopy.cli.jobs_tables import printable
from onecopy.cli.tables import Column, build, console
from onecopy.engines.dead_letters import DeadLetter, DeadLetters, dead_letters_of

_VARIABLES: Final = ("ONECOPY_RABBITMQ", "ONECOPY_KAFKA", "ONECOPY_ENGINE")
_COLUMNS: Final = (
    Column("id", number=False),
    Column("from", number=False, wraps=True),
    Column("reason", number=False, wraps=True),
    Column("bytes", leaves=1),
)
_MOST: Final = 100_000

_broker = click.option(
    "--broker", metavar="URL", help=f"amqp:// or kafka://. Left out: {', '.join(_VARIABLES)}."
)
_topic = click.option("--topic", help="Of Kafka: whose dead letters. Left out: the URL's.")


@click.group("deadletters")
def command() -> None:
    """List, show and replay messages that could not be read."""


@command.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@_broker
@_topic
def list_(limit: int, json_wanted: bool, broker: str | None, topic: str | None) -> None:
    """List dead letters, the oldest first."""
    found = _run(_letters(broker, topic).look(limit))
    if json_wanted:
        click.echo(json.dumps([_as_json(letter) for letter in found], indent=2))
    elif not found:
        click.echo("no dead letters", err=True)
    else:
        out = console()
        out.print(build(_COLUMNS, map(_row, found), out))


@command.command("show")
@click.argument("letter", metavar="ID")
@_broker
@_topic
def show(letter: str, broker: str | None, topic: str | None) -> None:
    """Show a dead letter: why it is one, its headers, its data."""
    found = _run(_letters(broker, topic).look(_MOST))
    for each in found:
        if each.id == letter:
            click.echo(printable(json.dumps(_as_json(each), indent=2, ensure_ascii=False)))
            return
    raise click.ClickException(f"there is no dead letter {letter!r}")


@command.command("replay")
@click.argument("letters", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_wanted", is_flag=True, help="All of them.")
@_broker
@_topic
def replay(
    letters: tuple[str, ...], all_wanted: bool, broker: str | None, topic: str | None
) -> None:
    """Send dead letters to where they came from. RabbitMQ's leave; Kafka's stay where they are."""
    if all_wanted == bool(letters):
        raise click.UsageError("name dead letters by their ids, or say --all")
    count = _run(_letters(broker, topic).replay(None if all_wanted else set(letters)))
    if letters and not count:
        raise click.ClickException("there are no such dead letters")
    click.echo(f"{count:,} dead letter{'' if count == 1 else 's'} sent again")


def _letters(broker: str | None, topic: str | None) -> DeadLetters:
    url = broker or next(filter(None, map(os.environ.get, _VARIABLES)), None)
    if url is None:
        raise click.UsageError(f"name the broker: --broker, or {', '.join(_VARIABLES)}")
    return dead_letters_of(url, topic)


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except OSError as error:
        raise click.ClickException(str(error)) from error


def _row(letter: DeadLetter) -> list[str]:
    return [letter.id, printable(letter.queue), printable(letter.reason), f"{len(letter.body):,}"]


def _as_json(letter: DeadLetter) -> dict[str, object]:
    body = letter.body.decode(errors="backslashreplace")
    return {**letter._asdict(), "headers": dict(letter.headers), "body": body}
