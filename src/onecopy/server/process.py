"""What a process of ours asks of the kernel about its parent, its children and its name."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def become_subreaper() -> None:
    """Become the parent of all orphans below this process (prctl(2)); survives an exec.

    Elsewhere than on Linux this does nothing: workers are then noticed by their channel only.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent, ends.

    Raises:
        ProcessLookupError: it has ended already.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent and sys.platform == "linux":
        raise ProcessLookupError(f"the parent {parent} is gone")


def wait_for_adoption(parent: int, middle: int) -> None:
    """Return once `middle`, which forked this process, has ended and `parent` has adopted it.

    Elsewhere than on Linux orphans go to init, and that is waited for.
    """
    while os.getppid() == middle:
        time.sleep(0.0005)
    die_with(parent)


def seed_again() -> None:
    """Give this fork random numbers of its own: every worker inherits the same generators.

    Those of `random` and, where it is loaded, of `numpy.random`. Others are the app's to seed.
    """
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def set_name(name: str) -> None:
    """Name this process for `ps` and `top`; at most 15 bytes are kept."""
    if sys.platform == "linux":
        with open("/proc/self/comm", "w") as file:
            file.write(name)
