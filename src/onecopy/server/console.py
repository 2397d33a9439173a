"""Draws the start on a terminal, in a process of its own that ends with it.

Neither the supervisor nor the image pays for the drawing, and no thread of it is alive when the
image forks.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from onecopy.server.channel import decode

_MARKS = {"info": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


def start(app: str, log_level: str) -> int:
    """Fork the drawing process; return the descriptor that it reads events from."""
    read, write = os.pipe()
    if os.fork():
        os.close(read)
        return write
    os.close(write)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # It ends when the start does.
        _draw(app, _events(read), quiet=log_level not in ("trace", "debug", "info"))
    finally:
        os._exit(0)


def _events(fd: int) -> Iterator[dict[str, Any]]:
    waiting = b""
    while data := os.read(fd, 65536):
        waiting += data
        while True:
            event, waiting = decode(waiting)
            if event is None:
                break
            yield event


def _draw(app: str, events: Iterator[dict[str, Any]], *, quiet: bool) -> None:
    console = Console(stderr=True, highlight=False)
    if not quiet:
        console.print(f"[bold]onecopy[/] {escape(app)}")
    status: Status | None = None
    for event in events:
        if status is not None:
            status.stop()
            status = None
        if "message" in event:
            console.print(f"{_MARKS[event['level']]} {escape(event['message'])}", soft_wrap=True)
        elif "busy" in event and not quiet:
            status = console.status(f"{escape(event['busy'])} …")
            status.start()
        elif "end" in event:
            break
    if status is not None:
        status.stop()
