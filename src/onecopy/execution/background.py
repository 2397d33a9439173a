"""An event loop in a thread of its own, for code that has none: one for a process."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any

_guard = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def finish[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and return its result.

    It runs in the context of the caller. An interrupt of the wait (Ctrl-C) cancels it. Raises
    RuntimeError on the background loop itself, which would wait for itself for ever.
    """
    loop = _running()
    if _here() is loop:
        work.close()
        raise RuntimeError("this would wait for the event loop that it blocks: use `await`")
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate[T](items: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous iterator yields; it runs on the background loop.

    It is closed when the iteration ends, or is given up.
    """
    try:
        while True:
            try:
                yield finish(_next(items))
            except _Over:
                return
    finally:
        finish(_close(items))


class _Over(Exception):
    """Nothing is left; a coroutine cannot raise StopAsyncIteration."""


async def _next[T](items: AsyncIterator[T]) -> T:
    try:
        return await anext(items)
    except StopAsyncIteration:
        raise _Over from None


async def _close(items: AsyncIterator[object]) -> None:
    if isinstance(items, AsyncGenerator):
        await items.aclose()


def _here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _running() -> asyncio.AbstractEventLoop:
    global _loop
    with _guard:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="onecopy-loop", daemon=True).start()
        return _loop


def _forget() -> None:
    """In a forked child: the thread of the loop was not forked."""
    global _guard, _loop
    _guard = threading.Lock()
    _loop = None


os.register_at_fork(after_in_child=_forget)
