"""Signals to the supervisor, as something to read among others."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from onecopy.server.poller import Poller

SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)


def watch(poller: Poller, on_signal: Callable[[int], None]) -> None:
    """Call `on_signal` in the poller's loop for each signal, those included that `launch` blocked.

    By a pipe, so that no code runs where a signal happens to interrupt.
    """
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _nothing)

    def arrived() -> None:
        for number in os.read(read, 512):
            on_signal(number)

    poller.watch(read, arrived)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass  # The number arrives through the pipe.
