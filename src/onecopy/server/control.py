"""Finding running supervisors, and asking them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

from onecopy.server.channel import decode, encode
from onecopy.server.control_server import ShortPath, socket_name

MARK = "onecopy.server.supervisor"
"""What the command line of every supervisor holds; its last word is the state folder."""


class NotRunning(Exception):
    """No supervisor answers."""


def running_supervisors() -> list[int]:
    """Return the pids of this user's running supervisors, in ascending order."""
    return sorted(pid for pid in _own_pids() if folder_of(pid) is not None)


def ask(pid: int, question: dict[str, Any], timeout: float | None = 10) -> dict[str, Any]:
    """Ask a supervisor and return its answer.

    Args:
        pid: the supervisor's.
        question: `{"command": "status"}` or `{"command": "reload"}`.
        timeout: seconds to wait for the answer; None waits for ever.

    Raises:
        NotRunning: it is gone, is none, or does not answer in time.
    """
    folder = folder_of(pid)
    if folder is None:
        raise NotRunning(f"{pid} is no supervisor of onecopy")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            with ShortPath(folder, socket_name(pid)) as path:
                sock.connect(path)
            sock.sendall(encode(question))
            data = b""
            answer = None
            while answer is None:
                more = sock.recv(65536)
                if not more:
                    raise NotRunning(f"the supervisor {pid} ended before it answered")
                answer, data = decode(data + more)
    except OSError as error:
        raise NotRunning(f"the supervisor {pid} does not answer: {error}") from None
    return answer


def _own_pids() -> list[int]:
    if sys.platform == "linux":
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = subprocess.run(
        ["ps", "-x", "-o", "pid="], capture_output=True, text=True, check=True
    ).stdout
    return [int(pid) for pid in found.split()]


def _command_line(pid: int) -> list[str]:
    if sys.platform == "linux":
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                return []
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
        except OSError:
            return []
    found = subprocess.run(
        ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    ).stdout
    return found.strip().split(" ")


def folder_of(pid: int) -> str | None:
    """Return the state folder that a supervisor was started with; None if it is no supervisor."""
    command = _command_line(pid)
    if len(command) < 2 or not any(MARK in word for word in command[:-1]):
        return None
    folder = command[-1]
    return folder if os.path.exists(os.path.join(folder, socket_name(pid))) else None
