import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onecopy.server.open_resources import OpenResources
from tests.running import run_to_its_end, service, wait_until

APP = """
import asyncio, os, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request

@asynccontextmanager
async def lifespan(app):
    data = await asyncio.to_thread(lambda: [str(number) * 3 for number in range(300_000)])
    print("start-up in", os.getpid(), flush=True)
    {extra}
    yield {{"data": data, "started_by": os.getpid()}}
    print("shutdown in", os.getpid(), flush=True)

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def root(request: Request):
    return [request.state.started_by, len(request.state.data), os.getpid()]

@app.get("/sync")
def sync(request: Request):
    return sum(len(text) for text in request.state.data)
"""


def _write(folder: Path, extra: str = "pass") -> None:
    (folder / "living.py").write_text(APP.format(extra=extra))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_start_up_once_in_the_image(folder: Path, loop: str) -> None:
    _write(folder)
    options = ["--lifespan", "image", "--workers", "3", "--loop", loop]
    with service(folder, "living:app", *options) as run:
        (image,) = run.pids("image")
        started_by, count, _ = run.get()
        assert (started_by, count) == (image, 300_000)
        assert run.get("/sync") > 0
        assert run.log.count("start-up in") == 1
        os.kill(run.pids("web")[0], signal.SIGKILL)
        wait_until(lambda: len(run.pids("web")) == 3)
        assert run.get()[0] == image
        assert run.stop() == 0
        assert run.log.count("shutdown in") == 1
        assert f"shutdown in {image}" in run.log


def test_each_generation_has_its_own_lifespan(folder: Path) -> None:
    _write(folder)
    with service(folder, "living:app", "--lifespan", "image", "--workers", "1") as run:
        (first,) = run.pids("image")
        run.signal(signal.SIGHUP)
        run.wait_for_log(f"shutdown in {first}")
        (second,) = wait_until(lambda: _others(run.pids("image"), first))
        assert run.get()[0] == second


def _others(pids: list[int], gone: int) -> list[int] | None:
    return None if gone in pids else pids


def test_lifespan_in_each_worker_is_the_default(folder: Path) -> None:
    _write(folder)
    with service(folder, "living:app", "--workers", "2") as run:
        workers = run.pids("web")
        started_by, _, pid = run.get()
        assert started_by == pid
        assert run.stop() == 0
        for worker in workers:
            assert f"start-up in {worker}" in run.log
            assert f"shutdown in {worker}" in run.log


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("app.s = __import__('socket').create_connection(('127.0.0.1', PORT))", "a connection to"),
        (
            "import threading as t; t.Timer(99, print).start(); t.enumerate()[-1].name = 'poller'",
            "the thread 'poller'",
        ),
        ("app.k = asyncio.create_task(asyncio.sleep(99), name='ticker')", "task 'ticker'"),
        (
            "app.d = __import__('sqlite3').connect('a.db'); app.d.execute('create table t(x)')",
            "an open SQLite database",
        ),
        ("raise RuntimeError('no data')", "start-up failed"),
    ],
)
def test_what_cannot_be_inherited_is_refused_by_name(folder: Path, extra: str, said: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        _write(folder, extra.replace("PORT", str(listener.getsockname()[1])))
        code, log = run_to_its_end(folder, "living:app", "--lifespan", "image")
    assert code == 3
    assert said in log.splitlines()[-1]


def test_an_app_without_lifespan_is_refused_with_lifespan_image(folder: Path) -> None:
    (folder / "bare.py").write_text(
        "async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n"
    )
    code, log = run_to_its_end(folder, "bare:app", "--lifespan", "image")
    assert code == 3
    assert "start-up failed" in log


def _thread() -> Callable[[], object]:
    done = threading.Event()
    threading.Thread(target=done.wait, name="one more").start()
    return done.set


def _database(tmp_path: Path) -> Callable[[], object]:
    database = sqlite3.connect(tmp_path / "some.db")
    database.execute("create table numbers (number)")
    database.commit()
    return database.close


def test_open_resources_are_told_by_difference(tmp_path: Path) -> None:
    import asyncio

    loop = asyncio.new_event_loop()
    before: Any = OpenResources.look(loop)
    close_database = _database(tmp_path)
    end_thread = _thread()
    with (tmp_path / "a file").open("w"):
        found = OpenResources.look(loop).since(before)
    assert found == [
        f"an open SQLite database ({tmp_path / 'some.db'})",
        "the thread 'one more'",
    ]
    close_database()
    end_thread()
    deadline = time.monotonic() + 10
    while OpenResources.look(loop).since(before):
        assert time.monotonic() < deadline
    loop.close()
