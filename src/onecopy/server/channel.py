"""Messages between supervisor, image and workers, over a Unix stream socket.

In marshal's format, after their length: json would cost the supervisor half a megabyte. Both ends
are processes of one user, started by one another. A message may carry file descriptors
(`SCM_RIGHTS`, see unix(7)): the supervisor hands each new worker its own channel through the image.
"""

from __future__ import annotations

import marshal
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_VERSION = 4
"""Of marshal's format; all Python versions that we run on read it."""
_LENGTH = 4
MAX_FDS = 250
"""Descriptors in one message: the kernel's limit is 253 (SCM_MAX_FD)."""


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as it goes over the wire."""
    data = marshal.dumps(message, _VERSION)
    return len(data).to_bytes(_LENGTH, "little") + data


def decode(data: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Return the first message in `data`, None if it is not there whole, and what follows it."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    if len(data) < _LENGTH or len(data) < end:
        return None, data
    return marshal.loads(data[_LENGTH:end]), data[end:]


class Closed(Exception):
    """The other end of a channel is gone."""


class Channel:
    """One end of a connection between two of our processes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._fds: list[int] = []

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return two connected ends, neither of which survives an exec."""
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(left), cls(right)

    def fileno(self) -> int:
        """Return the descriptor, for poll; -1 once closed."""
        return self._sock.fileno()

    def detach(self) -> int:
        """Give up the descriptor and return it, open."""
        return self._sock.detach()

    def close(self) -> None:
        """Close this end; may be called twice."""
        self._sock.close()

    def setblocking(self, flag: bool) -> None:
        """Choose between a receive that waits and one that returns what is there."""
        self._sock.setblocking(flag)

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one message whole, with open descriptors if given.

        Raises:
            Closed: the other end is gone.
        """
        data = encode(message)
        try:
            sent = socket.send_fds(self._sock, [data], list(fds)) if fds else self._sock.send(data)
            if sent < len(data):
                self._send_rest(data[sent:])
        except BlockingIOError:
            self._send_rest(data)
        except OSError as error:
            raise Closed(str(error)) from None

    def _send_rest(self, data: bytes) -> None:
        # Messages are far smaller than the socket's buffer; only a peer that does not read for a
        # long time brings us here. Wait for it a little, then treat it as gone.
        timeout = self._sock.gettimeout()
        self._sock.settimeout(5)
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from None
        finally:
            self._sock.settimeout(timeout)

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have arrived; may be empty. Blocks if the channel does.

        Raises:
            Closed: the other end is gone and all that it sent has been returned.
        """
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, 65536, MAX_FDS)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Closed(str(error)) from None
        self._fds += fds
        if not data:
            raise Closed("end of file")
        self._buffer += data
        messages: list[dict[str, Any]] = []
        while True:
            message, self._buffer = decode(self._buffer)
            if message is None:
                return messages
            messages.append(message)

    def take_fds(self, count: int) -> list[int]:
        """Return the `count` oldest descriptors that came with messages so far."""
        taken, self._fds = self._fds[:count], self._fds[count:]
        return taken
