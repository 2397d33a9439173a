"""What a run says: one line for each thing that happens.

While it starts on a terminal, events go to the console process, which draws them (`console`);
otherwise, and ever after, they are plain lines on standard error, in uvicorn's format.
"""

from __future__ import annotations

import os

from onecopy.server.channel import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onecopy.server.settings import Settings

_LEVELS = ("trace", "debug", "info", "warning", "error", "critical")
_COLORS = {"info": "32", "warning": "33", "error": "31"}


def megabytes(count: float) -> str:
    """Return bytes as people read them: `12.3 MB`, `7.90 GB` (powers of 1000)."""
    if count < 999_500_000:
        return f"{count / 1e6:,.1f} MB"
    return f"{count / 1e9:,.2f} GB"


class Narrator:
    """Tells the user what happens in this process."""

    def __init__(self, settings: Settings, console: int | None) -> None:
        """Speak to the console process on this descriptor, if there is one."""
        self._floor = _LEVELS.index(settings.log_level)
        self._colors = settings.colors
        self.console = console
        if console is not None:
            os.set_inheritable(console, False)

    def info(self, message: str) -> None:
        """Say something that went as planned."""
        self._say("info", message)

    def warning(self, message: str) -> None:
        """Say something that the user should look at."""
        self._say("warning", message)

    def error(self, message: str) -> None:
        """Say something that failed."""
        self._say("error", message)

    def busy(self, what: str) -> None:
        """Say what takes a while from now on; only a terminal shows it."""
        self._tell({"busy": what})

    def end_of_start(self) -> None:
        """Let the console go; what follows is plain lines."""
        self._tell({"end": True})
        self.leave_console()

    def leave_console(self) -> None:
        """Close this process's way to the console; others may still have theirs."""
        if self.console is not None:
            os.close(self.console)
            self.console = None

    def _say(self, level: str, message: str) -> None:
        if _LEVELS.index(level) < self._floor:
            return
        if not self._tell({"level": level, "message": message}):
            self._print(level, message)

    def _tell(self, event: dict[str, object]) -> bool:
        if self.console is None:
            return False
        try:
            os.write(self.console, encode(event))
        except OSError:
            self.leave_console()  # The console process has ended.
            return False
        return True

    def _print(self, level: str, message: str) -> None:
        name = level.upper()
        gap = " " * (9 - len(name))
        if self._colors:
            name = f"\x1b[{_COLORS[level]}m{name}\x1b[0m"
        try:
            os.write(2, f"{name}:{gap}{message}\n".encode())
        except OSError:
            pass  # Standard error is gone, and there is nowhere to say so.
