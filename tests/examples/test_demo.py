"""The demo, as `make demo` runs it: the real data, four workers, one copy, a job."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import alive, wait_until

ROOT = Path(__file__).parents[2]
LOADS_IN = 240.0


class Demo:
    """A running demo, without a terminal."""

    def __init__(self, folder: Path, first_port: int) -> None:
        self._log = folder / "demo.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "examples/gazetteer/demo.py", "--port", str(first_port)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ONECOPY_STATE_DIR": str(folder)},
            )

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


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def demo(tmp_path: Path, taken_port: int) -> Iterator[Demo]:
    running = Demo(tmp_path, taken_port)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)


@pytest.mark.timeout(300)
def test_the_demo_shows_one_copy_and_ends_when_told(demo: Demo, taken_port: int) -> None:
    demo.wait_until_it_is_up()
    assert "->  Munich, Germany" in demo.said
    assert "->  Ljubljana, Slovenia, 272,220 people (similar)" in demo.said
    assert "->  Lobuche, Nepal" in demo.said
    total = re.search(
        r"^([\d.,]+) MB in all; 5 separate copies would take", demo.said, re.MULTILINE
    )
    assert total is not None, demo.said
    assert 400 < float(total[1]) < 800
    port = re.search(r"The gazetteer is at http://127.0.0.1:(\d+)/", demo.said)
    assert port is not None
    assert int(port[1]) > taken_port
    pids = demo.pids()
    assert len(pids) == 7
    assert re.search(r"^job worker +\d+ ", demo.said, re.MULTILINE)
    assert "misspelled capitals:" in demo.said
    assert re.search(r"->  running \[#*\.*\] \d+ of \d+$", demo.said, re.MULTILINE)
    assert re.search(r"/result  ->  2\d\d of \d+ are like a city:$", demo.said, re.MULTILINE)
    assert "Zageb  ->  Zagreb, Croatia" in demo.said
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0, demo.said
    assert not any(alive(pid) for pid in pids)
