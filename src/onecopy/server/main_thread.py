"""The main thread of a job worker: it runs sync tasks, one at a time.

A signal is handled between two bytecodes of the main thread. So an exception that is to end a sync
task is raised here, at its next bytecode or when it comes back from C.
"""

import asyncio
import contextlib
import os
import queue
import signal
import sys
import threading
from types import FrameType
from typing import Final

from onecopy.execution.attempt import Outcome
from onecopy.server.attempt import Attempt

_INTERRUPT: Final = getattr(signal, "SIGRTMIN", signal.SIGUSR1)


class MainThread:
    """To be made and run in the main thread; the agent's thread calls the rest."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._pid = os.getpid()
        self._folder = os.getcwd()
        self._inbox: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._armed: Attempt | None = None
        signal.signal(_INTERRUPT, self._on_interrupt)
        os.register_at_fork(after_in_child=_forget_signals)

    def run(self) -> None:
        """Run attempts until `end` is called."""
        while (attempt := self._inbox.get()) is not None:
            outcome = self._run(attempt)
            if os.getpid() != self._pid:
                # The task has forked, and this is the child: the attempt is the parent's.
                os._exit(0)
            self._tidy()
            assert attempt.finished is not None
            attempt.finished.get_loop().call_soon_threadsafe(_finish, attempt, outcome)

    async def perform(self, attempt: Attempt) -> Outcome:
        """Have an attempt run, and return how it ended."""
        attempt.finished = asyncio.get_running_loop().create_future()
        self._inbox.put(attempt)
        return await attempt.finished

    def interrupt(self) -> None:
        """Have the attempt that runs end by its `interrupt`, if it has one."""
        signal.pthread_kill(self._ident, _INTERRUPT)

    def end(self) -> None:
        """Let `run` return, once it has run what it was given."""
        self._inbox.put(None)

    def _run(self, attempt: Attempt) -> Outcome:
        assert attempt.call is not None
        try:
            try:
                self._armed = attempt
                if attempt.interrupt is not None:
                    raise attempt.interrupt
                value = attempt.call()
            finally:
                self._armed = None
            return Outcome(attempt.task.encode_result(value))
        except BaseException as error:
            return attempt.ended_by(error)

    def _tidy(self) -> None:
        """Undo what a task may have left behind, so that the next one does not depend on it."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        with contextlib.suppress(OSError):
            if _working_folder() != self._folder:
                os.chdir(self._folder)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        attempt = self._armed
        if attempt is not None and attempt.interrupt is not None:
            raise attempt.interrupt


def _finish(attempt: Attempt, outcome: Outcome) -> None:
    if attempt.finished is not None and not attempt.finished.done():
        attempt.finished.set_result(outcome)


def _forget_signals() -> None:
    """In a child that a task has forked: it ends by SIGTERM as any process does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(_INTERRUPT, signal.SIG_IGN)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # It has been deleted.
