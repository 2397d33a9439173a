"""Commands as a user runs them: in a pipe, or on a terminal of a given width."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.running import DEADLINE, ONECOPY, wait_until

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def onecopy(
    *arguments: str, folder: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output in pipes."""
    return subprocess.run(
        [*ONECOPY, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=2 * DEADLINE,
        check=False,
    )


class Terminal:
    """A command on a terminal of its own, with so many columns."""

    def __init__(self, *arguments: str, columns: int, folder: Path | None = None) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        size_comes_from_the_terminal = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
        environment = {k: v for k, v in os.environ.items() if k not in size_comes_from_the_terminal}
        self.process = subprocess.Popen(
            [*ONECOPY, *arguments],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)
        self._fd = ours
        self._output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        os.close(self._fd)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # The last process on the terminal has ended.
                return
            if not data:
                return
            self._output += data

    @property
    def raw(self) -> str:
        """All that was written, with its control sequences."""
        return self._output.decode(errors="replace")

    @property
    def text(self) -> str:
        """All that was written, without colours."""
        return _STYLE.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until a text has been written so many times."""
        wait_until(
            lambda: self.text.count(text) >= times or None, what=f"{text!r} in {self.text!r}"
        )

    def end(self) -> str:
        """Wait for the end, and return all that was written, without colours."""
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return self.text
