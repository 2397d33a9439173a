import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.running import Service, service


def _connect(run: Service, count: int, stack: ExitStack) -> list[socket.socket]:
    return [
        stack.enter_context(socket.create_connection(("127.0.0.1", run.port), timeout=20))
        for _ in range(count)
    ]


def _ask(sock: socket.socket) -> int:
    """Ask on an open connection; return the pid of the worker that has it."""
    sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data or not data.split(b"\r\n\r\n")[1]:
        data += sock.recv(4096)
    return int(data.split(b"\r\n\r\n")[1])


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("clients", [8, 64])
def test_connections_spread_evenly(folder: Path, loop: str, clients: int) -> None:
    options = ["--workers", "4", "--loop", loop, "--no-access-log"]
    with service(folder, "plain:app", *options) as run, ExitStack() as stack:
        owners = [_ask(sock) for sock in _connect(run, clients, stack)]
        counts = sorted(owners.count(pid) for pid in run.pids("web"))
        assert sum(counts) == clients
        assert counts[-1] <= clients // 4 * 1.5 + 1, counts
        assert counts[0] >= 1, counts
