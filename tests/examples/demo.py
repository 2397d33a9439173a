"""The demo, as `make demo` runs it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.running import alive, wait_until

ROOT = Path(__file__).parents[2]
LOADS_IN = 240.0


class Demo:
    """A running demo, without a terminal, until the block ends."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._log = folder / "demo.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "examples/gazetteer/demo.py", *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ONECOPY_STATE_DIR": str(folder)},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_until_it_is_up(self) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.said
            return "Ctrl-C stops it" in self.said

        wait_until(up, seconds=LOADS_IN, what="the demo")

    def pids(self) -> list[int]:
        """The processes in its memory table."""
        return [int(pid) for pid in re.findall(r"^[a-z ]+?  +(\d+) +1 ", self.said, re.MULTILINE)]

    def has_answered(self) -> None:
        """Fail if an answer is missing, or if the job has not run."""
        assert "->  Munich, Germany" in self.said
        assert "->  Ljubljana, Slovenia, 272,220 people (similar)" in self.said
        assert "->  Lobuche, Nepal" in self.said
        assert "misspelled capitals:" in self.said
        assert re.search(r"->  running \[#*\.*\] \d+ of \d+$", self.said, re.MULTILINE)
        assert re.search(r"/result  ->  2\d\d of \d+ are like a city:$", self.said, re.MULTILINE)
        assert "Zageb  ->  Zagreb, Croatia" in self.said

    def end(self) -> None:
        """Press Ctrl-C; nothing is left."""
        pids = self.pids()
        assert len(pids) == 7
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.said
        assert not any(alive(pid) for pid in pids)
