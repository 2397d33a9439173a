"""The main thread of a job worker: it runs sync tasks, one at a time.

A signal is handled between two bytecodes of the main thread. So an exception that is to end a sync
task is raised here, at its next bytecode or when it comes back from C.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from types import FrameType
from typing import Final

from onecopy.execution.attempt import Outcome
from onecopy.server.attempt import Attempt
from onecopy.server.line import Line

_INTERRUPT: Final = getattr(signal, "SIGRTMIN", signal.SIGUSR1)


class MainThread:
    """To be made and run in the main thread."""

    def __init__(
        self,
        line: Line,
        begin: Callable[[Attempt], None],
        end: Callable[[Attempt], None],
        finish: Callable[[Attempt, Outcome], None],
    ) -> None:
        """Take the line, and what to call: right before a task and right after it, both here; and
        on the event loop, with its outcome.
        """
        self._ident = threading.get_ident()
        self._pid = os.getpid()
        self._folder = os.getcwd()
        self._line = line
        self._begin = begin
        self._end = end
        self._finish = finish
        self._finished: deque[tuple[Attempt, Outcome]] = deque()
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._armed = False
        self.attempt: Attempt | None = None
        """The one that runs."""
        signal.signal(_INTERRUPT, self._on_interrupt)
        os.register_at_fork(
            before=_hold_term, after_in_parent=_let_term_go, after_in_child=_forget_signals
        )

    def connect(self) -> None:
        """Give outcomes to the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def run(self) -> None:
        """Run attempts until the line is closed."""
        while self.turn() is not None:
            pass

    def turn(self) -> Attempt | None:
        """Wait for an attempt in line, run it and return it; None for a `close`."""
        attempt = self._line.take()
        if attempt is None:
            return None
        self.perform(attempt)
        self.hand_over(attempt)
        return attempt

    def perform(self, attempt: Attempt) -> Outcome:
        """Run an attempt to its end."""
        self.attempt = attempt
        self._begin(attempt)
        # In a context of its own: whoever comes after it is not in that of the job.
        attempt.outcome = outcome = copy_context().run(self._run, attempt)
        self._armed = False
        if os.getpid() != self._pid:
            # The task has forked, and this is the child: the attempt is the parent's.
            os._exit(0)
        self._end(attempt)
        self._tidy()
        self.attempt = None
        return outcome

    def hand_over(self, attempt: Attempt) -> None:
        """Give the event loop an attempt that has ended."""
        assert attempt.outcome is not None
        self._finished.append((attempt, attempt.outcome))
        if not self._told:  # else it is about to look
            self._told = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._finish_all)

    def close(self) -> None:
        """Let `run` return, once it has run what is in line."""
        self._line.close()

    def interrupt(self) -> None:
        """Have the attempt that runs end by its `interrupt`, if it has one; from any thread."""
        signal.pthread_kill(self._ident, _INTERRUPT)

    def _run(self, attempt: Attempt) -> Outcome:
        try:
            try:
                self._armed = True
                if attempt.interrupt is not None:
                    raise attempt.interrupt
                value = attempt.prepared()()
            finally:
                self._armed = False
            return Outcome(attempt.task.encode_result(value))
        except BaseException as error:
            return attempt.ended_by(error)

    def _finish_all(self) -> None:
        self._told = False
        while self._finished:
            self._finish(*self._finished.popleft())

    def _tidy(self) -> None:
        """Undo what a task may have left behind, so that the next one does not depend on it."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        with contextlib.suppress(OSError):
            if _working_folder() != self._folder:
                os.chdir(self._folder)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        attempt = self.attempt
        if self._armed and attempt is not None and attempt.interrupt is not None:
            raise attempt.interrupt


_masks = threading.local()


def _hold_term() -> None:
    """Before a fork: a SIGTERM to the child waits until the child is one that ends by it.

    Its parent may send one at once, and then wait for its end, as a `multiprocessing.Pool` does.
    """
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_term_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _forget_signals() -> None:
    """In a child that a task has forked: it ends by SIGTERM as any process does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(_INTERRUPT, signal.SIG_IGN)
    _let_term_go()


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # It has been deleted.
