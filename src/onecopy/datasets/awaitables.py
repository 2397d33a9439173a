"""Runs an awaitable to its end from synchronous code."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable
from concurrent.futures import Future


def finish[T](awaitable: Awaitable[T]) -> T:
    """Run an awaitable on an event loop of its own and return its result.

    Where this thread runs a loop already, the awaitable's loop runs in another thread and this one
    waits, in the same context. An interrupt of the wait (Ctrl-C) cancels the awaitable.
    """
    if _loop_runs_here():
        return _finish_in_thread(awaitable)
    return asyncio.run(_as_coroutine(awaitable))


async def _as_coroutine[T](awaitable: Awaitable[T]) -> T:
    return await awaitable


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _finish_in_thread[T](awaitable: Awaitable[T]) -> T:
    outcome: Future[T] = Future()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def announced() -> T:
        task = asyncio.ensure_future(_as_coroutine(awaitable))
        started.set_result((asyncio.get_running_loop(), task))
        return await task

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(announced()))
        except BaseException as error:  # Whatever it is, it is raised where it is waited for.
            outcome.set_exception(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="onecopy-loader", daemon=True)
    try:
        thread.start()
        return outcome.result()
    except BaseException:
        if thread.is_alive() and not outcome.done():
            loop, task = started.result()
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        if thread.is_alive():
            thread.join()
