"""A dataset used by many threads, inside a running event loop, and across a fork."""

import asyncio
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from onecopy.datasets import Dataset, loading, registry
from onecopy.errors import DatasetCycle, DatasetLoadError

DEADLINE = 20.0


def test_many_threads_load_once() -> None:
    runs: list[int] = []
    together = threading.Barrier(8)

    def load() -> list[int]:
        runs.append(1)
        return [1]

    dataset = Dataset[list[int]](load, "numbers")

    def use() -> list[int]:
        together.wait(DEADLINE)
        return dataset()

    with ThreadPoolExecutor(8) as pool:
        values = [future.result(DEADLINE) for future in [pool.submit(use) for _ in range(8)]]
    assert runs == [1]
    assert all(value is values[0] for value in values)


def test_who_waited_for_a_loader_that_fails_gets_an_error_of_its_own() -> None:
    began, go_on = threading.Event(), threading.Event()

    def load() -> list[int]:
        began.set()
        assert go_on.wait(DEADLINE)
        raise ValueError("bad row")

    dataset = Dataset[list[int]](load, "numbers")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(dataset)
        assert began.wait(DEADLINE)
        waiting = threading.Event()

        def use() -> list[int]:
            waiting.set()
            return dataset()

        second = pool.submit(use)
        assert waiting.wait(DEADLINE)
        go_on.set()
        errors = [first.exception(DEADLINE), second.exception(DEADLINE)]
    assert all(isinstance(error, DatasetLoadError) for error in errors)
    assert errors[0] is not errors[1]
    assert errors[0] is not None
    assert isinstance(errors[0].__cause__, ValueError)


def test_a_long_wait_is_said_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "NOTICE_SECONDS", 0.01)
    began, said = threading.Event(), threading.Event()

    class Listens(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.set()

    def load() -> list[int]:
        began.set()
        assert said.wait(DEADLINE)
        return [1]

    dataset = Dataset[list[int]](load, "numbers")
    handler = Listens()
    loading.logger.addHandler(handler)
    try:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(dataset)
            assert began.wait(DEADLINE)
            assert pool.submit(dataset).result(DEADLINE) is first.result(DEADLINE)
    finally:
        loading.logger.removeHandler(handler)
    assert "waiting for dataset 'numbers'" in caplog.text


def test_an_async_loader_works_where_a_loop_is_running() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def load() -> list[int]:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return [1]

    dataset = Dataset[list[int]](load, "numbers")

    async def endpoint() -> list[int]:
        loops.append(asyncio.get_running_loop())
        return dataset()

    assert asyncio.run(endpoint()) == [1]
    assert loops[0] is not loops[1]


def test_an_async_loader_that_raises_where_a_loop_is_running() -> None:
    async def load() -> list[int]:
        await asyncio.sleep(0)
        raise ValueError("bad row")

    dataset = Dataset[list[int]](load, "numbers")

    async def endpoint() -> list[int]:
        return dataset()

    with pytest.raises(DatasetLoadError, match="bad row"):
        asyncio.run(endpoint())


def test_an_interrupt_cancels_an_async_loader() -> None:
    """Ctrl-C in the thread that waits ends the loader, which else would never return."""
    cancelled = threading.Event()

    async def never_returns() -> list[int]:
        # One that comes just before the thread blocks is seen only when it is woken.
        await asyncio.sleep(0.3)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return []

    dataset = Dataset[list[int]](never_returns, "numbers")

    async def endpoint() -> None:
        dataset()

    # Not asyncio.run: its own handler swallows the first interrupt.
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(endpoint())
        assert cancelled.is_set()
        assert not dataset.loaded
    finally:
        loop.close()


def exit_code_of_child(function: Callable[[], bool]) -> int:
    """Fork; the child ends with 0 if the function is true there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if function() else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_while_another_thread_loads_loads_for_itself() -> None:
    began, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    def load() -> list[int]:
        if os.getpid() == parent:
            began.set()
            assert go_on.wait(DEADLINE)
        return [1]

    dataset = Dataset[list[int]](load, "numbers")
    registry.add_dataset(dataset)
    with ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(dataset)
        assert began.wait(DEADLINE)
        with loading.guard.lock:
            code = exit_code_of_child(lambda: dataset() == [1])
        go_on.set()
        assert loaded.result(DEADLINE) == [1]
    assert code == 0


def test_a_child_forked_after_the_load_has_the_data() -> None:
    runs: list[int] = []

    def load() -> list[int]:
        runs.append(os.getpid())
        return [1]

    dataset = Dataset[list[int]](load, "numbers")
    registry.add_dataset(dataset)
    dataset.load()
    assert exit_code_of_child(lambda: dataset() == [1] and runs == [os.getppid()]) == 0


def test_a_child_forked_by_a_loader_does_not_load_in_turn() -> None:
    """Else it would fork again, and its child again."""

    def is_a_circle() -> bool:
        with pytest.raises(DatasetCycle, match="numbers -> numbers"):
            dataset()
        return True

    def load() -> list[int]:
        return [exit_code_of_child(is_a_circle)]

    dataset = Dataset[list[int]](load, "numbers")
    registry.add_dataset(dataset)
    assert dataset() == [0]
