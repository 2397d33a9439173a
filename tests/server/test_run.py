import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from tests.running import ONECOPY, alive, service, wait_until

FLASK = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def root():
    return "1"
"""

FASTAPI = """
from fastapi import FastAPI, Request

def create():
    app = FastAPI()

    @app.get("/")
    def root(request: Request):
        return request.scope["root_path"], request.client.host, request.url.scheme

    return app
"""


def test_all_workers_serve_and_the_stop_is_clean(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "3") as run:
        assert run.get("/sum") == sum(range(50_000))
        workers = run.pids("web")
        assert len(workers) == 3
        wait_until(lambda: {run.get() for _ in range(20)} == set(workers))
        everyone = [*workers, *run.pids("image"), run.pid]
        assert run.stop() == 0
        assert not [pid for pid in everyone if alive(pid)]
    assert not list((folder / ".onecopy").glob("*.sock"))


def test_interrupt_stops_at_once_despite_an_idle_connection(folder: Path) -> None:
    with (
        service(folder, "plain:app", "--workers", "1") as run,
        socket.create_connection(("127.0.0.1", run.port)) as idle,
    ):
        idle.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert idle.recv(4096)
        run.signal(signal.SIGINT)
        assert run.wait(4) == 0


def test_a_second_signal_kills(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "2") as run:
        workers = run.pids("web")
        with socket.create_connection(("127.0.0.1", run.port)) as busy:
            busy.sendall(b"GET /sleep/100 HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: run.get("/sum"))
            run.signal(signal.SIGTERM)
            run.wait_for_log("stopping")
            run.signal(signal.SIGTERM)
            assert run.wait(5) == 128 + signal.SIGTERM
        assert not [pid for pid in workers if alive(pid)]


def test_supervisor_is_small_and_imports_nothing_of_the_app(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "2") as run:
        maps = Path(f"/proc/{run.pid}/maps").read_text()
        assert "_asyncio" not in maps
        assert "uvloop" not in maps
        private = sum(
            int(line.split()[1])
            for line in Path(f"/proc/{run.pid}/smaps_rollup").read_text().splitlines()
            if line.startswith(("Private_Clean:", "Private_Dirty:"))
        )
        assert private < 7000, f"{private} kB"


def test_unix_socket(folder: Path) -> None:
    path = folder / "web.sock"
    with service(folder, "plain:app", "--workers", "1", "--uds", str(path)) as run:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert run.stop() == 0
    assert not path.exists()


def test_descriptor_of_a_listening_socket(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [*ONECOPY, "run", "plain:app", "--workers", "1", "--fd", str(listener.fileno())],
            cwd=folder,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_frameworks_and_uvicorn_options(folder: Path) -> None:
    (folder / "made.py").write_text(FASTAPI)
    environment = {"ONECOPY_ROOT_PATH": "/api", "ONECOPY_WORKERS": "1"}
    with service(folder, "made:create", "--factory", environment=environment) as run:
        assert run.get() == ["/api", "127.0.0.1", "http"]
        assert len(run.pids("web")) == 1
    (folder / "classic.py").write_text(FLASK)
    with service(folder, "classic:app", "--interface", "wsgi", "--workers", "1") as run:
        assert run.get() == 1


def test_app_dir_and_state_dir(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (folder / "plain.py").rename(inner / "hidden.py")
    state = folder / ("a-long-name" * 12)
    with service(
        folder,
        "hidden:app",
        "--app-dir",
        "inner",
        environment={"ONECOPY_STATE_DIR": str(state)},
    ) as run:
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        (sock,) = state.glob("supervisor-*.sock")
        assert stat.S_IMODE(sock.stat().st_mode) == 0o600
        assert run.pids("image")


def test_workers_are_added_and_removed_by_signals(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "2") as run:
        run.signal(signal.SIGTTIN)
        wait_until(lambda: len(run.pids("web")) == 3)
        run.signal(signal.SIGTTOU)
        wait_until(lambda: len(run.pids("web")) == 2)
        run.signal(signal.SIGTTOU)
        wait_until(lambda: len(run.pids("web")) == 1)
        assert run.get()


def test_flags_of_the_interpreter_reach_the_image(folder: Path) -> None:
    (folder / "strict.py").write_text(
        "import sys\nassert sys.flags.dev_mode\nfrom plain import app\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", *ONECOPY[1:], "run", "strict:app", "--port", "0"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, process.stderr:
        for line in process.stderr:
            if "serves" in line:
                process.terminate()
        assert process.returncode is None or process.returncode == 0
        assert process.wait(20) == 0


def test_a_terminal_shows_the_start(folder: Path) -> None:
    parent, child = os.openpty()
    process = subprocess.Popen(
        [*ONECOPY, "run", "plain:app", "--workers", "1", "--port", "0"],
        cwd=folder,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    shown = b""
    try:
        while b"serves" not in shown:
            shown += os.read(parent, 4096)
    finally:
        process.send_signal(signal.SIGINT)
    assert "✓" in shown.decode()
    assert b"sealed" in shown
    while True:
        try:
            os.read(parent, 4096)
        except OSError:
            break
    os.close(parent)
    assert process.wait(20) == 0


def test_two_services_in_one_folder(folder: Path) -> None:
    with (
        service(folder, "plain:app", "--workers", "1") as first,
        service(folder, "plain:app", "--workers", "1") as second,
    ):
        assert first.status()["supervisor_pid"] == first.pid
        assert second.status()["supervisor_pid"] == second.pid


def test_socket_of_a_killed_supervisor_is_cleaned_up(folder: Path) -> None:
    with service(folder, "plain:app", "--workers", "1") as run:
        run.process.kill()
        run.process.wait()
    assert list((folder / ".onecopy").glob("*.sock"))
    with service(folder, "plain:app", "--workers", "1") as run:
        names = {path.name for path in (folder / ".onecopy").glob("*.sock")}
        assert names == {f"{kind}-{run.pid}.sock" for kind in ("supervisor", "bell", "call")}


def test_each_worker_has_random_numbers_of_its_own(folder: Path) -> None:
    (folder / "chance.py").write_text(
        "import os, random, numpy\n"
        "from fastapi import FastAPI\n"
        "app = FastAPI()\n"
        "DRAWN = []\n"
        "@app.get('/')\n"
        "async def root():\n"
        "    if not DRAWN:\n"
        "        DRAWN.append((random.random(), float(numpy.random.random())))\n"
        "    return [os.getpid(), *DRAWN[0]]\n"
    )
    with service(folder, "chance:app", "--workers", "3") as run:
        drawn: dict[int, tuple[float, float]] = {}

        def all_have_drawn() -> bool:
            pid, *numbers = run.get()
            drawn[pid] = (numbers[0], numbers[1])
            return len(drawn) == 3

        wait_until(all_have_drawn)
        for position in (0, 1):
            assert len({numbers[position] for numbers in drawn.values()}) == 3
