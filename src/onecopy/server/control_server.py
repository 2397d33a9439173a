"""The supervisor's Unix socket in the state folder: one message in, one message out.

The socket is reached through a descriptor of its folder, because a socket's path may not be
longer than about 100 bytes (unix(7)).
"""

from __future__ import annotations

import os
import socket
import sys

from onecopy.server.channel import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from onecopy.server.poller import Poller

    Answer = Callable[[dict[str, Any]], None]

_KINDS = ("supervisor", "bell", "call", "ear")
"""What sockets in the state folder begin with; the pid of their process follows."""
_LONGEST_QUESTION = 65536


def socket_name(pid: int) -> str:
    """Return the name of a supervisor's socket in its state folder."""
    return f"supervisor-{pid}.sock"


def socket_names(pid: int) -> list[str]:
    """Return the names of all sockets that a run has in its state folder."""
    return [f"{kind}-{pid}.sock" for kind in _KINDS]


def alive(pid: int) -> bool:
    """Return whether a process has this pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class ShortPath:
    """A path to `name` in `folder` that is short enough for a socket, while the block runs."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        self._name = name
        self._fd = -1

    def __enter__(self) -> str:
        path = os.path.join(self._folder, self._name)
        if len(os.fsencode(path)) < 100 or sys.platform != "linux":
            return path
        self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._fd}/{self._name}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def prepare_state_folder(folder: str) -> None:
    """Make the folder if need be, and remove the sockets of supervisors that are gone.

    Raises:
        OSError: it cannot be made, or nothing can be written there.
    """
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o700)
        with open(os.path.join(folder, ".gitignore"), "w") as file:
            file.write("*\n")
    for name in os.listdir(folder):
        # `supervisor-1234.sock`, and those of engines: `bell-1234.sock`, `ear-1234-....sock`.
        kind, *rest = name.removesuffix(".sock").split("-")
        pid = rest[0] if rest else ""
        if name.endswith(".sock") and kind in _KINDS and pid.isdigit() and not alive(int(pid)):
            _remove(os.path.join(folder, name))


def open_socket(folder: str, pid: int) -> socket.socket:
    """Return a listening socket that only this user can reach.

    Raises:
        OSError: it cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with ShortPath(folder, socket_name(pid)) as path:
            _remove(path)
            sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    sock.listen(16)
    return sock


class ControlServer:
    """Answers questions; a slow or silent client costs nothing but its descriptor."""

    def __init__(
        self,
        fd: int,
        poller: Poller,
        answer: Callable[[dict[str, Any], Answer], None],
    ) -> None:
        self._sock = socket.socket(fileno=fd)
        self._sock.setblocking(False)
        self._poller = poller
        self._answer = answer
        self._clients: dict[int, tuple[socket.socket, bytes]] = {}
        poller.watch(fd, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._sock.accept()
        except OSError:
            return
        client.setblocking(False)
        fd = client.fileno()
        self._clients[fd] = (client, b"")
        self._poller.watch(fd, lambda: self._read(fd))

    def _read(self, fd: int) -> None:
        client, data = self._clients[fd]
        try:
            more = client.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        data += more
        self._clients[fd] = (client, data)
        try:
            question, _ = decode(data)
        except (ValueError, EOFError, TypeError):
            more = b""
            question = None
        if not more or len(data) > _LONGEST_QUESTION:
            self._drop(fd)
        elif question is not None:
            self._answer(question, lambda reply: self._reply(fd, client, reply))

    def _reply(self, fd: int, client: socket.socket, reply: dict[str, Any]) -> None:
        if self._clients.get(fd, (None,))[0] is not client:
            return  # It has gone, and its number may be another's by now.
        try:
            client.settimeout(1)
            client.sendall(encode(reply))
        except OSError:
            pass  # It did not wait for the answer.
        self._drop(fd)

    def _drop(self, fd: int) -> None:
        client, _ = self._clients.pop(fd)
        self._poller.unwatch(fd)
        client.close()
