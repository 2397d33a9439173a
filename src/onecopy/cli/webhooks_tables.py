"""Webhooks and their tries: as tables for people, and as JSON."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from onecopy.cli.jobs_tables import printable
from onecopy.cli.jobs_times import local, rfc3339
from onecopy.cli.tables import Column, build, duration
from onecopy.cli.webhooks_store import Looked
from onecopy.deliveries import Try

_COLORS: Final = {"pending": "cyan", "delivered": "green", "failed": "red", "disabled": "yellow"}
_LIST_COLUMNS: Final = (
    Column("id", number=False),
    Column("type", number=False, leaves=3),
    Column("to", number=False, wraps=True),
    Column("status", number=False),
    Column("tries", leaves=2),
    Column("made", number=False, leaves=4),
    Column("note", number=False, wraps=True, leaves=1),
)
_TRY_COLUMNS: Final = (
    Column("try"),
    Column("at", number=False),
    Column("took"),
    Column("result", number=False, wraps=True),
)


def list_of(found: Iterable[Looked], on: Console) -> RenderableType:
    """Return a table of webhooks."""
    return build(_LIST_COLUMNS, map(_list_row, found), on)


def _list_row(found: Looked) -> list[str]:
    delivery = found.delivery
    return [
        delivery.id,
        _type(found),
        printable(delivery.receiver),
        delivery.status,
        f"{delivery.tries}",
        local(delivery.created_at),
        _note(found),
    ]


def _type(found: Looked) -> str:
    return printable(str(json.loads(found.delivery.payload)["type"]))


def _note(found: Looked) -> str:
    said = [] if found.delivery.status == "delivered" else [_result(each) for each in found.tries]
    return "; ".join([*said[-1:], *_next(found)])


def _next(found: Looked) -> Iterator[str]:
    delivery = found.delivery
    if delivery.due_at is None or delivery.due_at <= time.time():
        return
    if delivery.token is None:
        yield f"again at {local(delivery.due_at)}"
    else:
        yield "is being tried"


def _result(attempt: Try) -> str:
    return printable(attempt.error or f"answered {attempt.status_code}").replace("\n", " ")


def page_on(found: Looked, on: Console) -> RenderableType:
    """Return all that there is to say about a webhook."""
    delivery = found.delivery
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in (
        ("webhook", delivery.id),
        ("type", _type(found)),
        ("job", delivery.job),
        ("to", printable(delivery.url)),
        ("status", delivery.status),
        ("made", local(delivery.created_at)),
        *(("next", each) for each in _next(found)),
    ):
        facts.add_row(Text(name), Text(value, _COLORS.get(value, "")))
    parts: list[RenderableType] = [facts]
    if found.tries:
        parts += [Text(), build(_TRY_COLUMNS, map(_try_row, enumerate(found.tries, 1)), on)]
    body = json.dumps(json.loads(delivery.payload), indent=2, ensure_ascii=False)
    lines = printable(body).split("\n")
    return Group(*parts, Text(), Text("payload", "bold"), *(Text(f"  {line}") for line in lines))


def _try_row(numbered: tuple[int, Try]) -> list[str]:
    number, attempt = numbered
    return [str(number), local(attempt.at), duration(attempt.seconds), _result(attempt)]


def as_json(found: Looked) -> dict[str, object]:
    """Return a webhook without its payload. The token of whoever tries it is nobody's."""
    delivery = found.delivery
    return {
        "id": delivery.id,
        "type": json.loads(delivery.payload)["type"],
        "job": delivery.job,
        "url": delivery.url,
        "status": delivery.status,
        "created_at": rfc3339(delivery.created_at),
        "due_at": rfc3339(delivery.due_at),
        "finished_at": rfc3339(delivery.finished_at),
        "tries": [
            {
                "at": rfc3339(each.at),
                "status_code": each.status_code,
                "error": each.error,
                "seconds": each.seconds,
            }
            for each in found.tries
        ],
    }


def page_as_json(found: Looked) -> dict[str, object]:
    """Return a webhook with all that belongs to it."""
    return {**as_json(found), "payload": json.loads(found.delivery.payload)}
