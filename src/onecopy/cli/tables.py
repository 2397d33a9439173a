"""Tables for people: boxed on a terminal, in fewer columns on a narrow one, plain in a pipe."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_NO_LIMIT: Final = 10_000
"""Columns of a pipe: whoever reads it cuts lines as they like."""


@dataclass(frozen=True)
class Column:
    """One column.

    number: aligned to the right.
    wraps: may be broken over several lines.
    leaves: how soon it goes when the terminal is narrow; the highest first, 0 never.
    """

    title: str
    number: bool = True
    wraps: bool = False
    leaves: int = 0


def console(*, stderr: bool = False) -> Console:
    """Return a console whose lines are as wide as the terminal, or as long as they are."""
    file = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, width=None if file.isatty() else _NO_LIMIT, soft_wrap=False
    )


def build(columns: Sequence[Column], rows: Iterable[Sequence[str]], on: Console) -> Table:
    """Return a table with as many of the columns as fit."""
    cells = [list(row) for row in rows]
    shown = list(range(len(columns)))
    while True:
        table = _table([columns[i] for i in shown], [[row[i] for i in shown] for row in cells], on)
        going = max(shown, key=lambda i: columns[i].leaves)
        if columns[going].leaves == 0 or _width(table, on) <= on.width:
            return table
        shown.remove(going)


def _table(columns: Sequence[Column], rows: Iterable[Sequence[str]], on: Console) -> Table:
    boxed = on.is_terminal
    table = Table(
        box=box.SIMPLE_HEAD if boxed else None,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1) if boxed else (0, 2, 0, 0),
        header_style="bold" if boxed else "",
    )
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.number else "left",
            no_wrap=not column.wraps,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _width(table: Table, on: Console) -> int:
    unlimited = on.options.update(width=_NO_LIMIT)
    return Measurement.get(on, unlimited, table).maximum


def duration(seconds: float) -> str:
    """Return seconds as people read them: `0.42 s`, `12 s`, `3 min 5 s`, `2 h 40 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = int(seconds)
    for unit, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // smaller} {smaller_name}"
    return f"{whole} s"
