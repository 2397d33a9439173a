import signal
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from onecopy.server.scoreboard import Scoreboard, create
from onecopy.server.web import CountedConnections
from tests.running import service

ECHO = """
from fastapi import FastAPI, WebSocket

app = FastAPI()

@app.websocket("/")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text * 2)
"""


def test_a_websocket_lives_through_a_reload_until_the_end_of_the_drain(folder: Path) -> None:
    (folder / "echo.py").write_text(ECHO)
    options = ["--workers", "1", "--timeout-keep-alive", "1"]
    with service(folder, "echo:app", *options) as run:
        with connect(f"ws://127.0.0.1:{run.port}/") as client:
            client.send("ab")
            assert client.recv() == "abab"
            run.signal(signal.SIGHUP)
            run.wait_for_log("generation 2 serves")
            client.send("cd")
            assert client.recv() == "cdcd"
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        with connect(f"ws://127.0.0.1:{run.port}/") as client:
            client.send("new")
            assert client.recv() == "newnew"


def test_every_way_out_of_the_set_is_counted() -> None:
    scoreboard = Scoreboard(create())
    slot = scoreboard.take_slot(set())
    connections = CountedConnections(scoreboard, slot)
    for member in ("a", "b"):
        connections.add(member)
    assert scoreboard.connections(slot) == 2
    connections.remove("a")
    assert scoreboard.connections(slot) == 1
    connections.discard("b")
    assert scoreboard.connections(slot) == 0
    connections.arriving = 3
    connections.publish()
    assert scoreboard.connections(slot) == 3
