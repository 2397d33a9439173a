"""Takes calls from the socket that all job workers of a run accept on, while there is room."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final

from msgspec import DecodeError, Raw, json

from onecopy.errors import JobCancelled
from onecopy.execution.attempt import Outcome, describe
from onecopy.execution.calls import CHUNK, Answer, Question
from onecopy.jobs import Job
from onecopy.server.attempt import NotBegun
from onecopy.server.attempts import Attempts
from onecopy.tasks import Task

_READ: Final = 5.0
"""Seconds in which a caller has to say what it wants: it holds a place."""
_LOOK_EVERY: Final = 0.1
"""Seconds after which it is noticed that a caller has gone."""

type RunCall = Callable[[Question], Awaitable[Answer]]
"""Runs a task for a caller; is cancelled if nobody waits for the answer any more."""


class CallTaker:
    """Accepts a call only when a place is free: else it is left to the other workers."""

    def __init__(
        self,
        listener: int,
        has_room: Callable[[], bool],
        run: RunCall,
        freed: Callable[[], None],
    ) -> None:
        """Take the descriptor of the socket, whether a call may begin, what runs one, and whom to
        tell when a caller has left the place free that was kept for it.
        """
        self._listener = socket.socket(fileno=os.dup(listener))
        self._listener.setblocking(False)
        self._has_room = has_room
        self._run = run
        self._freed = freed
        self._listening = False
        self._stopped = False
        self._waiting: dict[socket.socket, asyncio.Task[None]] = {}
        self._looking: asyncio.TimerHandle | None = None
        self.coming = 0
        """Calls that were accepted and have not said yet what they are."""
        self.answering: set[asyncio.Task[None]] = set()

    def room(self) -> None:
        """Accept calls from now on, unless no place is free; to be called whenever one may be."""
        if not self._listening and not self._stopped and self._has_room():
            self._listening = True
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def stop(self) -> None:
        """Accept no more."""
        self._stopped = True
        self._leave_to_others()

    def close(self) -> None:
        """Let go of the socket."""
        self._listener.close()

    def _leave_to_others(self) -> None:
        if self._listening:
            self._listening = False
            asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        if not self._has_room():
            self._leave_to_others()
            return
        with suppress(OSError):  # Another worker was faster.
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            # At once, and not in the loop's next turn: mostly the question is there already.
            answering = asyncio.Task(
                self._answer(sock), loop=asyncio.get_running_loop(), eager_start=True
            )
            self.answering.add(answering)
            answering.add_done_callback(self.answering.discard)

    async def _answer(self, sock: socket.socket) -> None:
        with closing(sock):
            question = await self._question(sock)
            if question is None or _has_gone(sock):
                self._freed()
                return
            answer = await self._watched(sock, self._run(question))
            with suppress(OSError):
                await _send(sock, json.encode(answer) + b"\n")

    async def _question(self, sock: socket.socket) -> Question | None:
        self.coming += 1
        try:
            return json.decode(await _read_line(sock), type=Question)
        except (OSError, DecodeError):
            return None
        finally:
            self.coming -= 1

    async def _watched(self, sock: socket.socket, running: Awaitable[Answer]) -> Answer:
        """Cancel what runs if the caller goes."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting[sock] = task
        self._look_later()
        try:
            return await running
        finally:
            del self._waiting[sock]

    def _look_later(self) -> None:
        # One look at all is cheaper than to watch each: most calls are over before.
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._looking = None
        for sock, task in self._waiting.items():
            if _has_gone(sock):
                task.cancel()
        if self._waiting:
            self._look_later()


async def _read_line(sock: socket.socket) -> bytes:
    """Return what a caller says. Raises OSError if it goes, or takes its time."""
    received = bytearray()
    with suppress(BlockingIOError):
        received += sock.recv(CHUNK)
    if received.endswith(b"\n"):
        return bytes(received)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_READ):
        while not received.endswith(b"\n"):
            chunk = await loop.sock_recv(sock, CHUNK)
            if not chunk:
                raise ConnectionResetError
            received += chunk
    return bytes(received)


async def _send(sock: socket.socket, line: bytes) -> None:
    sent = sock.send(line)
    if sent < len(line):
        await asyncio.get_running_loop().sock_sendall(sock, memoryview(line)[sent:])


def _has_gone(sock: socket.socket) -> bool:
    """Whether a caller has closed its end: it says nothing after its question."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


class CallRunner:
    """Runs tasks for callers: each is an attempt of a job that is in no store."""

    def __init__(self, tasks: Mapping[str, Task[..., Any]], attempts: Attempts) -> None:
        self._tasks = tasks
        self._attempts = attempts

    async def run(self, question: Question) -> Answer:
        """Return the answer to what a caller asks; if this is cancelled the attempt is ended."""
        if question.task not in self._tasks:
            return Answer(unknown=True)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        attempt = self._attempts.run_call(_job_of(question), partial(_give, future))
        try:
            return _answer_of(await future)
        except asyncio.CancelledError:
            self._attempts.interrupt(attempt, JobCancelled())
            raise


def _give(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _job_of(question: Question) -> Job:
    now = time.time()
    return Job(
        id="",
        task=question.task,
        arguments=bytes(question.arguments).decode(),
        created_at=now,
        due_at=now,
        started_at=now,
        attempt=1,
        timeout=question.timeout,
    )


def _answer_of(outcome: Outcome) -> Answer:
    if isinstance(outcome.error, NotBegun):
        return Answer(not_begun=True)
    if outcome.error is not None:
        return Answer(failure=describe(outcome.error))
    return Answer(Raw((outcome.result or "null").encode()))
