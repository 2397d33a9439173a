import os
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from onecopy.server import control
from tests.running import ONECOPY, Service, run_to_its_end, service, wait_until


def _refused(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run what must not start; return what it said, which is short and no traceback of ours."""
    code, log = run_to_its_end(folder, *arguments, environment=environment)
    assert code != 0
    assert "onecopy/" not in log.replace(str(folder), "")
    assert not list(folder.glob(".onecopy/*.sock"))
    return log


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("plain", '"module:attribute"'),
        ("plain:nothing", "module 'plain' has no attribute 'nothing'"),
        ("nothing:app", "there is no module 'nothing'"),
        ("plain:DATA", "no ASGI app but of type dict"),
    ],
)
def test_no_such_app(folder: Path, app: str, said: str) -> None:
    log = _refused(folder, app)
    assert said in log
    assert "Traceback" not in log
    assert log.count("\n") <= 2


def test_import_that_raises_shows_the_users_traceback_only(folder: Path) -> None:
    (folder / "broken.py").write_text("def inner():\n    return 1 / 0\n\ninner()\n")
    log = _refused(folder, "broken:app")
    assert 'broken.py", line 2, in inner' in log
    assert "ZeroDivisionError" in log
    assert "importlib" not in log


def test_debug_shows_the_whole_traceback(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    code, log = run_to_its_end(folder, "broken:app", "--debug")
    assert code != 0
    assert "onecopy/server/app_import.py" in log


def test_missing_import_inside_the_app_is_the_apps(folder: Path) -> None:
    (folder / "needs.py").write_text("import nothing_of_this_name\n")
    log = _refused(folder, "needs:app")
    assert "needs.py" in log
    assert "No module named 'nothing_of_this_name'" in log


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "0"], "--workers"),
        (["--workers", "many"], "--workers"),
        (["--port", "99999"], "--port: 99999 is no port"),
        (["--port", "8000", "--uds", "a.sock", "--fd", "0"], "does not go with --fd"),
        (["--max-worker-memory", "lots"], "write for example 200MB"),
        (["--timeout", "0"], "--timeout"),
        (["--ssl-certfile", "missing.pem"], "cannot read missing.pem"),
        (["--ssl-certfile", "plain.py"], "cannot use plain.py"),
        (["--ssl-keyfile", "plain.py"], "needs --ssl-certfile too"),
        (["--app-dir", "nowhere"], "nowhere is no folder"),
        (["--fd", "99"], "cannot listen on descriptor 99"),
        (["--uds", "plain.py"], "it is left alone"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--lifespan", "sometimes"], "--lifespan"),
        (["--log-config", "missing.json"], "missing.json"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_option(folder: Path, options: list[str], said: str) -> None:
    log = _refused(folder, "plain:app", *options)
    assert said in log
    assert "Traceback" not in log


def test_bad_variable(folder: Path) -> None:
    assert "'--workers'" in _refused(folder, "plain:app", environment={"ONECOPY_WORKERS": "-1"})


def test_port_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        log = _refused(folder, "plain:app", "--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}: the port is taken by another process" in log


def test_socket_path_of_a_live_and_of_a_dead_process(folder: Path) -> None:
    path = folder / "web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "another process listens there" in _refused(folder, "plain:app", "--uds", str(path))
    assert path.exists()
    with service(folder, "plain:app", "--uds", str(path), "--workers", "1"):
        assert stat.S_ISSOCK(path.stat().st_mode)


def test_loader_that_raises_stops_the_start(folder: Path) -> None:
    (folder / "data.py").write_text(
        "from onecopy import OneCopy\n"
        "from plain import app\n"
        "shared = OneCopy()\n"
        "@shared.dataset\n"
        "def places():\n"
        "    raise LookupError('no such table')\n"
    )
    log = _refused(folder, "data:app")
    assert "dataset 'places' could not be loaded: LookupError: no such table" in log
    assert 'data.py", line 6, in places' in log
    assert log.count("LookupError") <= 3


def test_interrupt_while_a_loader_never_returns(folder: Path) -> None:
    (folder / "data.py").write_text(
        "import time\n"
        "from onecopy import OneCopy\n"
        "from plain import app\n"
        "shared = OneCopy()\n"
        "@shared.dataset\n"
        "def places():\n"
        "    print('loading for ever', flush=True)\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(1000)\n"
        "        except BaseException:\n"
        "            pass\n"
    )
    with Service(folder, "data:app") as run:
        run.wait_for_log("loading for ever")
        run.signal(signal.SIGINT)
        assert run.wait(10) == 0


def test_state_folder_that_cannot_be_made(folder: Path) -> None:
    environment = {"ONECOPY_STATE_DIR": str(folder / "plain.py" / "below")}
    log = _refused(folder, "plain:app", environment=environment)
    assert "cannot use the state folder" in log
    assert "ONECOPY_STATE_DIR" in log


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a full disk needs root")
def test_full_disk(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=2", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        (disk / "filler").write_bytes(b"")
        environment = {"ONECOPY_STATE_DIR": str(disk / "state")}
        assert "No space left on device" in _refused(folder, "plain:app", environment=environment)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_no_permission_for_the_state_folder(folder: Path) -> None:
    if os.geteuid() != 0:
        locked = folder / "locked"
        locked.mkdir(mode=0o500)
        environment = {"ONECOPY_STATE_DIR": str(locked)}
        assert "Permission denied" in _refused(folder, "plain:app", environment=environment)
        return
    # Root may write anywhere, so this needs another user; who may have to find the code too.
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    locked = folder / "locked"
    locked.mkdir(mode=0o755)
    done = subprocess.run(
        [setpriv, "--bounding-set=-all", "--inh-caps=-all", *ONECOPY, "run", "plain:app"],
        cwd=folder,
        env={**os.environ, "ONECOPY_STATE_DIR": "/proc/1/task/state"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "cannot use the state folder" in done.stderr


def _is_ready(pid: int) -> bool:
    try:
        answer = control.ask(pid, {"command": "status"})
    except control.NotRunning:
        return False
    return "web" in [process["role"] for process in answer["processes"]]


def test_output_that_nobody_reads(folder: Path) -> None:
    process = subprocess.Popen(
        [*ONECOPY, "run", "plain:app", "--port", "0", "--workers", "1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    process.stderr.close()
    try:
        wait_until(lambda: _is_ready(process.pid))
    finally:
        process.terminate()
        assert process.wait(30) == 0
