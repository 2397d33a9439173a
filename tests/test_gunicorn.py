"""Sealing under Gunicorn: a real one, with its signals, its hooks and its worker classes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.gunicorn_master import Gunicorn, until

CONFIG = ("-c", "python:onecopy.gunicorn")
UVICORN = ("-k", "uvicorn_worker.UvicornWorker")

# What each app below answers: who it is, and what has become of the data in it.
FACTS = """
import gc, os, sys

DATA = {f"place {number}": [f"name {number}", number * 1.5] for number in range(ENTRIES)}

def facts():
    total = sum(len(name) + len(place[0]) + int(place[1]) for name, place in DATA.items())
    counts = {sys.getrefcount(place) for place in DATA.values()}
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "total": total,
        "immortal": min(counts) > 2**31 - 1,
        "address": id(DATA),
        "gc": gc.isenabled(),
    }
"""

ASGI_APP = """
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(facts()).encode()})
"""

FLASK_APP = """
from flask import Flask

app = Flask(__name__)

@app.get("/")
def read():
    return facts()
"""


DATASETS = """
from onecopy import OneCopy

shared = OneCopy()

@shared.dataset
def gazetteer():
    print("loading in", os.getpid(), flush=True)
    return [f"place {number}" for number in range(1000)]

@shared.warm
def look_up():
    print("warming with", len(gazetteer()), "places in", os.getpid(), flush=True)
"""


def write_app(folder: Path, app: str = ASGI_APP, entries: int = 1000) -> None:
    (folder / "app.py").write_text(FACTS.replace("ENTRIES", str(entries)) + app)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(textwrap.dedent(text))


# Memory


@pytest.mark.parametrize(
    ("app", "worker"),
    [
        (ASGI_APP, UVICORN),
        (FLASK_APP, ("-k", "sync")),
        (FLASK_APP, ("-k", "gthread", "--threads", "2")),
    ],
    ids=["uvicorn", "flask-sync", "flask-gthread"],
)
def test_four_workers_that_read_all_of_the_data_hold_one_copy(
    tmp_path: Path, app: str, worker: tuple[str, ...]
) -> None:
    write_app(tmp_path, app, entries=600_000)
    with Gunicorn(tmp_path, *CONFIG, *worker, "-w", "1", "app:app") as gunicorn:
        gunicorn.get_from_each("/", workers=1)
        one = gunicorn.pss()
    with Gunicorn(tmp_path, *CONFIG, *worker, "-w", "4", "app:app") as gunicorn:
        answers = gunicorn.get_from_each("/", workers=4)
        four = gunicorn.pss()
    assert one > 150e6  # what the data takes, so that the ratio means something
    assert four < 1.2 * one
    assert all(answer["immortal"] for answer in answers.values())
    assert all(answer["gc"] for answer in answers.values())


def test_the_log_says_what_was_sealed_once_and_before_the_first_worker(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "2", "app:app") as gunicorn:
        gunicorn.get_from_each("/", workers=2)
        log = gunicorn.log
    sealed = re.findall(r"\[INFO\] Sealed ([\d,]+) objects, [\d.,]+ MB, in [\d.]+ s", log)
    assert len(sealed) == 1
    assert int(sealed[0].replace(",", "")) > 4000
    assert log.index("Sealed") < log.index("Booting worker")
    assert "[WARNING]" not in log


def test_a_heap_that_cannot_be_made_immortal_is_a_warning(tmp_path: Path) -> None:
    write_app(tmp_path, DATASETS + ASGI_APP)
    write(
        tmp_path,
        "own.py",
        """
        import sys
        sys.modules["onecopy.heap._immortal"] = None
        from onecopy.gunicorn import *
        """,
    )
    with Gunicorn(tmp_path, "-c", "own.py", *UVICORN, "app:app") as gunicorn:
        assert not gunicorn.get("/")["immortal"]
        assert "Sealed" not in gunicorn.log
        warnings = re.findall(r"\[WARNING\] (.*)", gunicorn.log)
    assert len(warnings) == 1
    assert warnings[0].startswith("The heap is frozen but not immortal")


def test_what_workers_of_uvicorn_import_late_is_imported_before_the_seal(tmp_path: Path) -> None:
    write_app(tmp_path)
    write(
        tmp_path,
        "own.py",
        """
        import sys
        from onecopy.gunicorn import *

        def pre_fork(server, worker):
            modules = [name for name in sys.modules if name.startswith("uvicorn.protocols.http.")]
            print("imported in the master:", *modules, flush=True)
        """,
    )
    with Gunicorn(tmp_path, "-c", "own.py", *UVICORN, "app:app") as gunicorn:
        gunicorn.get("/")
        imported = re.findall(r"imported in the master:(.*)", gunicorn.log)[0].split()
    assert "uvicorn.protocols.http.auto" in imported


# The user's own configuration


OWN_HOOKS = """
    from onecopy.gunicorn import *

    preload_app = False
    workers = 2
    worker_class = "uvicorn_worker.UvicornWorker"

    def on_starting(server):
        server.log.info("own on_starting")

    def when_ready(server):
        server.log.info("own when_ready")
        import app
        app.DATA["late"] = ["loaded by when_ready", 1.5]

    def nworkers_changed(server, new_value, old_value):
        server.log.info("own nworkers_changed")

    def pre_fork(server, worker):
        server.log.info("own pre_fork")

    def post_fork(server, worker):
        server.log.info("own post_fork")

    def post_worker_init(worker):
        worker.log.info("own post_worker_init")

    def on_reload(server):
        server.log.info("own on_reload")

    def on_exit(server):
        server.log.info("own on_exit")
"""


def test_hooks_of_the_users_own_run_and_the_heap_is_sealed_all_the_same(tmp_path: Path) -> None:
    write_app(tmp_path)
    write(tmp_path, "own.py", OWN_HOOKS)
    with Gunicorn(tmp_path, "-c", "own.py", "app:app") as gunicorn:
        answers = gunicorn.get_from_each("/", workers=2)
        assert all(answer["immortal"] for answer in answers.values())
        gunicorn.send(signal.SIGHUP)
        gunicorn.wait_for_log("own post_worker_init", times=4)
        gunicorn.send(signal.SIGTERM)
        assert gunicorn.exit_code() == 0
        log = gunicorn.log
    for hook in re.findall(r"def (\w+)\(", OWN_HOOKS):
        assert f"own {hook}" in log
    assert log.index("own when_ready") < log.index("Sealed") < log.index("own pre_fork")
    assert "preload_app was off; it is on now" in log


def test_settings_of_the_command_line_go_before_ours(tmp_path: Path) -> None:
    write_app(tmp_path)
    write(tmp_path, "own.py", "from onecopy.gunicorn import *\nworkers = 1\n")
    with Gunicorn(tmp_path, "-c", "own.py", *UVICORN, "-w", "3", "app:app") as gunicorn:
        assert len(gunicorn.get_from_each("/", workers=3)) == 3


def test_reload_at_a_change_of_code_is_warned_of(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "--reload", "app:app") as gunicorn:
        gunicorn.get_from_each("/", workers=1)
        assert "reload cannot see new code here" in gunicorn.log


# Workers come and go


def test_hangup_replaces_the_workers_by_others_of_the_same_master(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "2", "app:app") as gunicorn:
        before = gunicorn.get_from_each("/", workers=2)
        gunicorn.send(signal.SIGHUP)
        until(lambda: gunicorn.workers().isdisjoint(before), "new workers only")
        after = gunicorn.get_from_each("/", workers=2)
    assert {answer["parent"] for answer in after.values()} == {gunicorn.pid}
    assert {answer["address"] for answer in after.values()} == {
        answer["address"] for answer in before.values()
    }
    assert all(answer["immortal"] for answer in after.values())


def test_workers_are_added_and_removed_by_signals(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "1", "app:app") as gunicorn:
        gunicorn.get_from_each("/", workers=1)
        gunicorn.send(signal.SIGTTIN)
        answers = gunicorn.get_from_each("/", workers=2)
        assert all(answer["immortal"] for answer in answers.values())
        gunicorn.send(signal.SIGTTOU)
        until(lambda: len(gunicorn.workers()) == 1, "one worker")
        assert gunicorn.get("/")["immortal"]


def test_a_killed_worker_is_forked_again_from_the_sealed_master(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "2", "app:app") as gunicorn:
        before = gunicorn.get_from_each("/", workers=2)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(gunicorn.workers() - {killed}) == 2, "a worker in place of the dead one")
        after = gunicorn.get_from_each("/", workers=2)
        assert killed not in after
        assert all(answer["immortal"] for answer in after.values())
        assert gunicorn.log.count("Sealed") == 1


def test_a_worker_that_has_served_its_requests_is_forked_again(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(
        tmp_path, *CONFIG, *UVICORN, "-w", "1", "--max-requests", "3", "app:app"
    ) as gunicorn:
        first = gunicorn.get("/")["pid"]
        for _ in range(3):
            gunicorn.get("/")
        until(lambda: gunicorn.workers() - {first}, "another worker")
        assert gunicorn.get("/")["immortal"]
        assert gunicorn.log.count("Sealed") == 1


def test_an_upgrade_seals_a_master_of_its_own(tmp_path: Path) -> None:
    write_app(tmp_path)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "1", "app:app") as gunicorn:
        gunicorn.get("/")
        (tmp_path / "app.py").write_text(
            (tmp_path / "app.py").read_text().replace('"pid"', '"release": 2, "pid"')
        )
        gunicorn.send(signal.SIGUSR2)
        gunicorn.wait_for_log("Sealed", times=2)
        (upgraded,) = until(
            lambda: {pid for pid in gunicorn.workers() if gunicorn.workers(of=pid)},
            "the new master's worker",
        )
        gunicorn.send(signal.SIGTERM)
        gunicorn.wait_for_end_of_master()
        answer = gunicorn.get("/")
        assert answer["release"] == 2
        assert answer["parent"] == upgraded
        assert answer["immortal"]


def test_the_dirty_arbiter_is_forked_after_the_seal(tmp_path: Path) -> None:
    write_app(tmp_path)
    write(
        tmp_path,
        "slow.py",
        """
        from gunicorn.dirty.app import DirtyApp

        class Slow(DirtyApp):
            pass
        """,
    )
    with Gunicorn(
        tmp_path,
        *(*CONFIG, *UVICORN, "-w", "1"),
        *("--dirty-workers", "1", "--dirty-app", "slow:Slow", "app:app"),
    ) as gunicorn:
        assert gunicorn.get("/")["immortal"]
        assert gunicorn.log.index("Sealed") < gunicorn.log.index("Spawned dirty arbiter")
        assert gunicorn.log.count("Sealed") == 1


# Datasets


def test_datasets_are_loaded_and_warmed_in_the_master_alone(tmp_path: Path) -> None:
    answer = 'DATA["dataset"] = [str(gazetteer()), 1.0]'
    write_app(tmp_path, DATASETS + ASGI_APP.replace("    headers", f"    {answer}\n    headers"))
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "2", "app:app") as gunicorn:
        gunicorn.get_from_each("/", workers=2)
        log = gunicorn.log
    assert re.findall(r"loading in (\d+)", log) == [str(gunicorn.pid)]
    assert re.findall(r"warming with 1000 places in (\d+)", log) == [str(gunicorn.pid)]
    assert re.search(r"\[INFO\] Loaded dataset gazetteer in \d+\.\d\d s", log)
    assert log.index("warming") < log.index("Listening at") < log.index("Sealed")


def test_a_dataset_that_a_hook_defines_late_is_left_to_its_first_use(tmp_path: Path) -> None:
    write_app(tmp_path)
    (tmp_path / "late.py").write_text("import os\n" + DATASETS)
    write(
        tmp_path,
        "own.py",
        """
        from onecopy.gunicorn import *

        def when_ready(server):
            import late
        """,
    )
    with Gunicorn(tmp_path, "-c", "own.py", *UVICORN, "app:app") as gunicorn:
        assert gunicorn.get("/")["immortal"]
        assert "loading in" not in gunicorn.log


FAILING_DATASET = """
from onecopy import OneCopy

shared = OneCopy()

@shared.dataset
def gazetteer():
    return read_places()

def read_places():
    raise RuntimeError("no such table: places")
"""


def test_a_loader_that_raises_stops_gunicorn_with_the_users_traceback(tmp_path: Path) -> None:
    write_app(tmp_path, FAILING_DATASET + ASGI_APP)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "2", "app:app") as gunicorn:
        assert gunicorn.exit_code() == 4
        log = gunicorn.log
    assert "dataset 'gazetteer' could not be loaded" in log
    assert "in read_places" in log
    assert "RuntimeError: no such table: places" in log
    assert "site-packages" not in log
    assert "onecopy/" not in log
    assert "Listening at" not in log
    assert "Booting worker" not in log


def test_a_warm_function_that_raises_stops_gunicorn(tmp_path: Path) -> None:
    write_app(tmp_path, DATASETS.replace("len(gazetteer())", "len(gazetter())") + ASGI_APP)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "app:app") as gunicorn:
        assert gunicorn.exit_code() == 4
    assert "the warm function 'look_up' failed: NameError" in gunicorn.log
    assert "Booting worker" not in gunicorn.log


# What cannot be had


def test_threads_alive_at_the_fork_are_named(tmp_path: Path) -> None:
    thread = """
import threading
threading.Thread(target=threading.Event().wait, name="price-poller", daemon=True).start()
"""
    write_app(tmp_path, thread + ASGI_APP)
    with Gunicorn(tmp_path, *CONFIG, *UVICORN, "-w", "2", "app:app") as gunicorn:
        gunicorn.get_from_each("/", workers=2)
        warnings = re.findall(r"\[WARNING\].*", gunicorn.log)
    assert len(warnings) == 1
    assert "price-poller" in warnings[0]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ("sys.modules['gunicorn'] = None", "pip install 'onecopy[gunicorn]'"),
        ("del os.fork", "needs os.fork"),
        (
            "import gunicorn.arbiter as module; del module.Arbiter.spawn_worker",
            "does not fit Gunicorn",
        ),
    ],
    ids=["no-gunicorn", "no-fork", "another-gunicorn"],
)
def test_what_it_needs_and_does_not_find_is_said_in_words(prepare: str, message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {prepare}; import onecopy.gunicorn"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: onecopy.gunicorn")
    assert message in last
