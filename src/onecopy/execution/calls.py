"""Calls: short work that goes straight to a job worker and back, with no store.

A run with job workers listens on one Unix socket; whichever worker has a free place accepts. One
JSON line each way. The socket's backlog is the queue: it is bounded, and full means busy.
"""

import asyncio
import contextlib
import json
import os
import socket
from typing import Any, Final

from onecopy.engines.local import path_in
from onecopy.errors import Busy, JobFailed, NoWorker, ResultTimeout
from onecopy.execution.ports import Call

PREFIX: Final = "call-"
BACKLOG: Final = 128
LONGEST: Final = 64 * 1024 * 1024


def socket_name(pid: int) -> str:
    """Return the name of the socket of a run, in the state folder."""
    return f"{PREFIX}{pid}.sock"


def listen(folder: str, name: str) -> socket.socket:
    """Return a listening socket in the state folder, for this user only. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    before = os.umask(0o177)
    try:
        sock.bind(path_in(folder, directory, name))
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
        os.close(directory)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


async def send(folder: str, call: Call) -> str:
    """Have a job worker of this host run a task now; return the JSON of its result.

    Raises NoWorker, Busy, JobFailed with an empty id, ResultTimeout.
    """
    try:
        async with asyncio.timeout(call.timeout):
            reader, writer = await _connect(folder, call)
            try:
                question = {
                    "task": call.task,
                    "arguments": call.arguments,
                    "timeout": call.timeout,
                }
                writer.write(json.dumps(question).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        raise ResultTimeout("", call.timeout) from None
    except OSError as error:
        raise NoWorker(call.task) from error
    return _read(call, line)


async def _connect(folder: str, call: Call) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise NoWorker(call.task) from error
    busy = False
    try:
        for name in sorted(os.listdir(directory)):
            if not name.startswith(PREFIX):
                continue
            path = path_in(folder, directory, name)
            try:
                return await asyncio.open_unix_connection(path, limit=LONGEST)
            except BlockingIOError:
                busy = True
            except (ConnectionRefusedError, FileNotFoundError):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)
    raise Busy(call.task) if busy else NoWorker(call.task)


def _read(call: Call, line: bytes) -> str:
    if not line.endswith(b"\n"):
        raise JobFailed("", "WorkerLost", "the worker ended while it ran the task")
    answer: dict[str, Any] = json.loads(line)
    if answer.get("unknown"):
        raise NoWorker(call.task)
    if "type" in answer:
        raise JobFailed("", answer["type"], answer["message"])
    return answer["result"]
