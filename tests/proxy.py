"""A proxy between a client and a server, whose connections a test can cut."""

import contextlib
import socket
import threading
import time
from typing import Self


class Proxy:
    """Passes on what comes to a port of its own; one thread for each direction.

    drop_answers: how many of the next connections are cut when their answer begins.
    truncate_answers: how many are cut in the middle of their answer.
    drop_questions: how many are cut when something is asked, which nobody hears.
    delay: seconds by which each piece is late.
    connections, pieces: how many have come so far.
    """

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self._target = target
        self.host = host
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._away = False
        self.drop_answers = 0
        self.truncate_answers = 0
        self.drop_questions = 0
        self.delay = 0.0
        self.connections = 0
        self.pieces = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()
        self._listener.close()
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), 1).close()

    def cut(self) -> None:
        """Reset all connections there are."""
        for sock in [*self._open]:
            _end(sock)

    def go_away(self) -> None:
        """Cut all connections, and each new one at once, until `come_back`."""
        self._away = True
        self.cut()

    def come_back(self) -> None:
        """Pass on again."""
        self._away = False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                if self._away:
                    _end(client)
                else:
                    self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            _end(client)
            return
        self._open |= {client, server}
        for source, sink, answers in ((client, server, False), (server, client, True)):
            threading.Thread(target=self._pass, args=(source, sink, answers), daemon=True).start()

    def _passed(self, data: bytes, answers: bool) -> bytes:
        """What of a piece goes through; if it is not all, the connection is cut."""
        if answers and self.drop_answers > 0:
            self.drop_answers -= 1
            return b""
        if answers and self.truncate_answers > 0:
            self.truncate_answers -= 1
            return data[: len(data) // 2]
        if not answers and self.drop_questions > 0:
            self.drop_questions -= 1
            return b""
        return data

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.pieces += 1
                if self.delay:
                    time.sleep(self.delay)
                passed = self._passed(data, answers)
                sink.sendall(passed)
                if len(passed) < len(data):
                    break
        for sock in (source, sink):
            _end(sock)
            self._open.discard(sock)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
