"""The servers that tests and benchmarks use."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from servers.process import NotReady
from servers.redis import Redis
from tests.running import DEADLINE, wait_until
from tests.servers import started


def _ask(server: Redis, *command: str) -> str:
    words = ["redis-cli", "-p", str(server.port), *command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_one_that_is_killed_comes_back_with_its_port_and_data(tmp_path: Path) -> None:
    with started(Redis(tmp_path / "redis")) as server:
        url = server.url
        assert _ask(server, "SET", "key", "value") == "OK"
        server.kill()
        assert not server.answers()
        server.start()
        assert server.url == url
        assert _ask(server, "GET", "key") == "value"
        server.stop()
        server.stop()
        assert not server.answers()


def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(NotReady, match=r"has ended:(?s:.*)no-such-option"),
        started(Redis(tmp_path / "redis", ["--no-such-option", "1"])),
    ):
        raise AssertionError("it cannot run")


@pytest.mark.usefixtures("redis_server")
def test_servers_to_try_things_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "servers", "redis"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, env={**os.environ, "TMPDIR": str(tmp_path)}
        )
    try:
        wait_until(lambda: "until Ctrl-C" in log.read_text())
        assert re.search(r"redis  redis://127\.0\.0\.1:\d+/0\n", log.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["log"]
