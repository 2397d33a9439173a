"""Calls: short work that goes straight to a job worker and back, with no store.

Workers of this host come first; other hosts are asked where `distant_calls` are configured.

A run with job workers listens on one Unix socket; whichever worker has a free place accepts. A
connection is for one call: a JSON line each way. The socket's backlog is the queue: it is bounded,
and full means busy.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from typing import Final

from msgspec import Raw, Struct, json

from onecopy.engines.local import path_in
from onecopy.errors import Busy, JobFailed, NoWorker, ResultTimeout
from onecopy.execution.distant_calls import DistantHosts
from onecopy.execution.ports import Call
from onecopy.jobs import Failure

BACKLOG: Final = 128
CHUNK: Final = 64 * 1024
"""Bytes that are read at once; the memory for more would be mapped afresh each time."""
_AGAIN: Final = 0.02
"""Seconds until a call that has lost its place in line tries to have another."""
_PREFIX: Final = "call-"
_LONGEST_PATH: Final = 100
"""Bytes of a path that any system takes as a socket's."""


class Question(Struct):
    """What a caller asks; arguments: a JSON object, the task's parameters by name."""

    task: str
    timeout: float
    arguments: Raw


class Answer(Struct, omit_defaults=True):
    """What became of a call: the JSON of its result, or why there is none.

    unknown, busy, not_begun: the task is not known there, no place is free, the worker has let it
    wait in vain; and nothing has happened.
    """

    result: Raw = Raw()
    failure: Failure | None = None
    unknown: bool = False
    busy: bool = False
    not_begun: bool = False


def socket_name(pid: int) -> str:
    """Return the name of the socket of a run, in the state folder."""
    return f"{_PREFIX}{pid}.sock"


def listen(folder: str, name: str) -> socket.socket:
    """Return a listening socket in the state folder, for this user only. Raises OSError."""
    before = os.umask(0o177)
    try:
        sock = _socket_at(folder, name, socket.socket.bind)
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    return sock


def _socket_at(folder: str, name: str, use: Callable[[socket.socket, str], None]) -> socket.socket:
    """Bind or connect a socket to a name in a folder, however long the path is. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        path = os.path.join(folder, name)
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            use(sock, path)
        else:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                use(sock, path_in(folder, directory, name))
            finally:
                os.close(directory)
    except OSError:
        sock.close()
        raise
    return sock


class Caller:
    """Makes calls for one process."""

    def __init__(self, folder: str, distant: DistantHosts | None = None) -> None:
        """Call the workers whose sockets are in a state folder, and those of other hosts."""
        self._folder = folder
        self._distant = distant
        self._known: dict[str, str] = {}
        """Tasks, and the socket that took the last call of each."""

    async def call(self, call: Call) -> str:
        """Have a job worker run a task now; return the JSON of its result.

        Raises NoWorker, Busy, JobFailed with an empty id, ResultTimeout.
        """
        question = json.encode(Question(call.task, call.timeout, Raw(call.arguments))) + b"\n"
        try:
            async with asyncio.timeout(call.timeout):
                answer = await self._ask_any_host(call.task, question)
        except TimeoutError:
            raise ResultTimeout("", call.timeout) from None
        if answer.unknown:
            raise NoWorker(call.task)
        if answer.busy:
            raise Busy(call.task)
        if answer.failure is not None:
            raise JobFailed("", answer.failure.type, answer.failure.message)
        return bytes(answer.result).decode()

    async def _ask_any_host(self, task: str, question: bytes) -> Answer:
        here = await self._ask_here(task, question)
        if self._distant is None or not (here.unknown or here.busy):
            return here
        busy = here.busy
        async with aclosing(self._distant.ask(question)) as lines:
            async for line in lines:
                answer = _read(line)
                if not (answer.unknown or answer.busy):
                    return answer
                busy = busy or answer.busy
        return Answer(unknown=not busy, busy=busy)

    async def answer_here(self, question: bytes) -> bytes:
        """Have a job worker of this host answer what another host asks; the JSON of an Answer."""
        asked = json.decode(question, type=Question)
        try:
            async with asyncio.timeout(asked.timeout):
                answer = await self._ask_here(asked.task, question + b"\n")
        except TimeoutError:
            return b""  # Nobody waits any more.
        return json.encode(answer)

    async def _ask_here(self, task: str, question: bytes) -> Answer:
        """Ask one run of this host after the other until one takes the call."""
        busy = False
        for name in self._names(task):
            answer = await self._ask_until_begun(name, question)
            if not (answer.unknown or answer.busy):
                self._known[task] = name
                return answer
            busy = busy or answer.busy
        return Answer(unknown=not busy, busy=busy)

    async def _ask_until_begun(self, name: str, question: bytes) -> Answer:
        """Ask a run; again if a worker gives the call back, even if the line is full meanwhile."""
        answer = await self._ask_run(name, question)
        given_back = answer.not_begun
        while answer.not_begun or (given_back and answer.busy):
            if answer.busy:
                await asyncio.sleep(_AGAIN)
            answer = await self._ask_run(name, question)
        return answer

    async def _ask_run(self, name: str, question: bytes) -> Answer:
        """Ask a run by the name of its socket; one that has ended knows no task."""
        try:
            # It is connected at once, or not at all.
            sock = _socket_at(self._folder, name, socket.socket.connect)
        except BlockingIOError:
            return Answer(busy=True)
        except OSError:
            return Answer(unknown=True)
        try:
            with closing(sock):
                return _read(await _exchange(sock, question))
        except OSError:  # It ended before anybody read the question.
            return Answer(unknown=True)

    def _names(self, task: str) -> Iterator[str]:
        known = self._known.pop(task, None)
        if known is not None:
            yield known
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return
        yield from (name for name in names if name.startswith(_PREFIX) and name != known)


async def _exchange(sock: socket.socket, question: bytes) -> bytes:
    """Send a line and return what comes back. Raises OSError if nobody has read it."""
    loop = asyncio.get_running_loop()
    sent = sock.send(question)
    if sent < len(question):
        await loop.sock_sendall(sock, memoryview(question)[sent:])
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = await loop.sock_recv(sock, CHUNK)
        if not chunk:
            break
        received += chunk
    return bytes(received)


def _read(line: bytes) -> Answer:
    if not line.endswith(b"\n"):
        return Answer(failure=Failure("WorkerLost", "the worker ended while it ran the task"))
    return json.decode(line, type=Answer)
