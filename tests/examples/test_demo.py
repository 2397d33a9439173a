"""The demo on the embedded store and engine: the real data, four workers, one copy, a job."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.demo import Demo


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.timeout(300)
def test_the_demo_shows_one_copy_and_ends_when_told(tmp_path: Path, taken_port: int) -> None:
    with Demo(tmp_path, "--port", str(taken_port)) as demo:
        demo.wait_until_it_is_up()
        demo.has_answered()
        total = re.search(
            r"^([\d.,]+) MB in all; 5 separate copies would take", demo.said, re.MULTILINE
        )
        assert total is not None, demo.said
        assert 400 < float(total[1]) < 800
        port = re.search(r"The gazetteer is at http://127.0.0.1:(\d+)/", demo.said)
        assert port is not None
        assert int(port[1]) > taken_port
        assert re.search(r"^job worker +\d+ ", demo.said, re.MULTILINE)
        demo.end()
