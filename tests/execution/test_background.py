"""The event loop of code that has none."""

import asyncio
import contextvars
import os
import threading

import pytest

from onecopy.execution.background import finish

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def test_work_is_finished_on_one_loop_whoever_asks() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    first = finish(loop())
    found: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: found.append(finish(loop())))
    thread.start()
    thread.join()
    assert found == [first]

    async def from_a_loop() -> None:
        assert finish(loop()) is first
        assert asyncio.get_running_loop() is not first

    asyncio.run(from_a_loop())


def test_the_context_and_the_exception_are_the_callers() -> None:
    async def fail() -> None:
        raise ValueError(variable.get())

    token = variable.set("own")
    try:
        with pytest.raises(ValueError, match="own"):
            finish(fail())
    finally:
        variable.reset(token)


def test_it_does_not_wait_for_itself() -> None:
    async def inner() -> int:
        return 1

    async def outer() -> int:
        return finish(inner())

    with pytest.raises(RuntimeError, match="use `await`"):
        finish(outer())


def test_a_forked_child_has_its_own() -> None:
    async def pid() -> int:
        return os.getpid()

    assert finish(pid()) == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if finish(pid()) == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
