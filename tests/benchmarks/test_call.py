"""What calls are measured beside is a real echo in another process."""

import asyncio
import sys
from pathlib import Path

from benchmarks.call.echo import Client
from benchmarks.processes import program


def test_the_echo_answers_what_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    command = (sys.executable, "-m", "benchmarks.call.echo", str(path))

    async def ask() -> list[bytes]:
        client = await Client.connect(path)
        answers = [await client.ask(question) for question in (b"one", b"two")]
        client.close()
        return answers

    with program(command, tmp_path / "server", lambda log: "echoes" in log):
        assert asyncio.run(ask()) == [b"one", b"two"]
