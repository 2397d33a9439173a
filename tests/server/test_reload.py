import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from onecopy.server import control
from tests.load import Load
from tests.running import ONECOPY, Service, service, wait_until


def _reload(run: Service) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ONECOPY, "reload", "--pid", str(run.pid)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("loop", "http", "keep_alive", "path"),
    [
        ("uvloop", "httptools", True, "/"),
        ("asyncio", "h11", True, "/sleep/0.05"),
        ("asyncio", "httptools", False, "/"),
        ("uvloop", "h11", False, "/sleep/0.005"),
    ],
)
def test_no_request_fails_in_a_reload(
    folder: Path, loop: str, http: str, keep_alive: bool, path: str
) -> None:
    async def scenario(run: Service) -> Load:
        async with Load(run.port, clients=16, path=path, keep_alive=keep_alive) as load:
            for _ in range(3):
                await load.wait_for(50)
                done = await asyncio.to_thread(_reload, run)
                assert done.returncode == 0, done.stderr
            await load.wait_for(50)
        return load

    options = ["--workers", "3", "--no-access-log", "--loop", loop, "--http", http]
    with service(folder, "plain:app", *options) as run:
        load = asyncio.run(scenario(run))
        assert load.failures == []
        assert run.status()["generation"] == 4
        wait_until(lambda: len(run.pids("image")) == 1)


def test_a_long_answer_and_a_stream_are_not_cut_off(folder: Path) -> None:
    (folder / "streams.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        raise RuntimeError\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    for number in range(30):\n"
        "        await asyncio.sleep(0.1)\n"
        "        await send({'type': 'http.response.body', 'body': b'%d,' % number, "
        "'more_body': True})\n"
        "    await send({'type': 'http.response.body'})\n"
    )

    async def scenario(run: Service) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", run.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"1,")
        done = await asyncio.to_thread(_reload, run)
        assert done.returncode == 0
        rest = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        return rest

    with service(folder, "streams:app", "--workers", "1") as run:
        assert b"29," in asyncio.run(scenario(run))


def test_new_code_is_served_and_broken_code_is_not(folder: Path) -> None:
    app = folder / "versions.py"
    text = (
        "VERSION = 1\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        raise RuntimeError\n"
        "    body = str(VERSION).encode()\n"
        "    headers = [(b'content-length', b'%d' % len(body))]\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    app.write_text(text)
    with service(folder, "versions:app", "--workers", "2") as run:
        assert run.get() == 1
        app.write_text(text.replace("VERSION = 1", "VERSION = 22"))
        done = _reload(run)
        assert (done.returncode, run.get()) == (0, 22)
        assert "generation 2 serves" in done.stdout
        app.write_text("raise ValueError('no good')\n")
        done = _reload(run)
        assert done.returncode != 0
        assert "no good" in done.stderr
        assert done.stderr.count("\n") <= 2
        assert "Traceback" in run.log
        assert "onecopy/server" not in run.log
        assert run.get() == 22
        assert run.status()["generation"] == 2
        app.write_text(text.replace("VERSION = 1", "VERSION = 333"))
        assert _reload(run).returncode == 0
        assert run.get() == 333


def test_hangups_during_a_reload_are_remembered_once(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\ntime.sleep(0.7)\nfrom plain import app\n")
    with service(folder, "slow:app", "--workers", "1") as run:
        run.signal(signal.SIGHUP)
        run.wait_for_log("reloading")
        for _ in range(3):
            run.signal(signal.SIGHUP)
            assert run.status()["generation"] == 1
        run.wait_for_log("generation 3 serves")
        assert run.status()["generation"] == 3


def test_reload_on_change(folder: Path) -> None:
    app = folder / "changing.py"
    app.write_text("import plain\nfrom plain import app\n")
    with service(folder, "changing:app", "--workers", "1", "--reload") as run:
        run.wait_for_log("Will watch for changes")
        # The watcher says so just before it looks for the first time: write until it has seen it.
        numbers = iter(range(1000))

        def seen() -> bool:
            app.write_text(f"from plain import app\nNUMBER = {next(numbers)}\n")
            return "changed: changing.py" in run.log

        wait_until(seen)
        run.wait_for_log("generation 2 serves")
        app.write_text("import nothing_of_this_name\n")
        run.wait_for_log("reload failed")
        assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in run.log
        assert run.get()
        watchers = [pid for pid in _children(run.pid) if "watcher" in _command(pid)]
        assert len(watchers) == 1
        assert run.stop() == 0
        assert not Path(f"/proc/{watchers[0]}").exists()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_reload_without_a_service_says_so() -> None:
    command = [*ONECOPY, "reload", "--pid", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no running supervisor" in done.stderr
    with pytest.raises(control.NotRunning):
        control.ask(os.getpid(), {"command": "status"})
