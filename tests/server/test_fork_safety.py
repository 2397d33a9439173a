"""The threads that a fork would leave behind are named, Python's and native ones."""

from __future__ import annotations

import subprocess
import sys
import threading

from onecopy.server.fork_safety import other_threads


def test_a_python_thread_is_named_while_it_lives() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="price-poller", daemon=True)
    thread.start()
    try:
        assert "price-poller" in other_threads()
    finally:
        release.set()
        thread.join()
    assert "price-poller" not in other_threads()


def test_the_calling_thread_is_not_named_whichever_it_is() -> None:
    names: list[list[str]] = []
    thread = threading.Thread(target=lambda: names.append(other_threads()), name="caller")
    thread.start()
    thread.join()
    assert "caller" not in names[0]
    assert threading.main_thread().name in names[0]


def test_a_native_thread_is_named() -> None:
    """A thread made by the C library itself, which Python never hears of."""
    program = """
import ctypes, time
from onecopy.server.fork_safety import other_threads
assert other_threads() == [], other_threads()
libc = ctypes.CDLL(None)
ident = ctypes.c_ulong()
sleep = ctypes.cast(libc.sleep, ctypes.c_void_p)
libc.pthread_create(ctypes.byref(ident), None, sleep, ctypes.c_void_p(60))
libc.pthread_setname_np(ident, b"blas-worker")
print(other_threads(), flush=True)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "['blas-worker (native)']"
