import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal, onecopy
from tests.running import alive, wait_until

ASGI = "\nasync def app(scope, receive, send): ...\n"
SHOP = """
from onecopy import OneCopy

print("a line of the app's own")
shared = OneCopy()

@shared.dataset
def prices():
    return {f"item {number}": (number, number / 7) for number in range(100_000)}
"""


def write(folder: Path, source: str) -> None:
    (folder / "shop.py").write_text(source + ASGI)


def hide(folder: Path, *modules: str) -> dict[str, str]:
    """Return an environment in which these modules cannot be imported."""
    site = folder / "site"
    site.mkdir()
    lines = [f"sys.modules[{name!r}] = None" for name in modules]
    (site / "sitecustomize.py").write_text("\n".join(["import sys", *lines]))
    others = filter(None, [os.environ.get("PYTHONPATH")])
    return {"PYTHONPATH": os.pathsep.join([str(site), *others])}


def examine(folder: Path, *arguments: str, app: str = "shop:app") -> dict[str, Any]:
    """Return what `onecopy doctor app --json` tells of the app."""
    ended = onecopy("doctor", app, "--json", *arguments, folder=folder)
    assert ended.returncode == 0, ended
    return json.loads(ended.stdout)["app"]


def verdicts(checks: list[dict[str, Any]]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in checks}


def test_this_machine_is_well(tmp_path: Path) -> None:
    ended = onecopy("doctor", "--json", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert found["app"] is None
    told = verdicts(found["checks"])
    for name in ("Python", "extension", "self-test", "fork", "measuring", "state folder"):
        assert told[name] == "ok"
    assert {"memory", "processors", "overcommit", "huge pages", "packages"} <= set(told)
    assert list(tmp_path.iterdir()) == []


def test_in_a_pipe_each_check_is_a_plain_line(tmp_path: Path) -> None:
    ended = onecopy("doctor", folder=tmp_path, environment={"COLUMNS": "20"})
    assert ended.returncode == 0
    assert ended.stdout.isascii()
    assert "\x1b" not in ended.stdout
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("ok       Python        CPython 3.")
    assert lines[-1] == "All is well."


def test_without_the_extension_there_is_a_problem_and_a_cure(tmp_path: Path) -> None:
    ended = onecopy("doctor", folder=tmp_path, environment=hide(tmp_path, "onecopy.heap._immortal"))
    assert ended.returncode == 1
    assert "problem  extension " in ended.stdout
    assert "problem  self-test " in ended.stdout
    assert "Cure: install onecopy again" in ended.stdout
    assert ended.stdout.endswith("2 problems\n")


def test_an_app_that_cannot_be_sealed_is_told_why(tmp_path: Path) -> None:
    write(tmp_path, SHOP)
    environment = hide(tmp_path, "onecopy.heap._immortal")
    ended = onecopy("doctor", "shop:app", folder=tmp_path, environment=environment)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "frozen, but not sealed: the extension onecopy.heap._immortal cannot" in ended.stdout
    assert "prices: loaded in " in ended.stdout


def test_packages_that_are_missing_are_named_with_what_is_lost(tmp_path: Path) -> None:
    environment = hide(tmp_path, "uvloop", "httptools", "watchfiles")
    ended = onecopy("doctor", "--json", folder=tmp_path, environment=environment)
    assert ended.returncode == 0
    [packages] = [c for c in json.loads(ended.stdout)["checks"] if c["name"] == "packages"]
    assert packages["verdict"] == "warning"
    assert "without uvloop and httptools requests are answered more slowly" in packages["found"]
    assert "without watchfiles --reload cannot be had" in packages["found"]
    assert packages["cure"] == 'pip install "onecopy[standard]"'


def test_an_unusable_state_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = onecopy("doctor", "--state-dir", "file/state", folder=tmp_path)
    assert ended.returncode == 1
    assert "problem  state folder  file/state: Not a directory" in ended.stdout


def test_an_app_of_plain_data_stays_shared(tmp_path: Path) -> None:
    write(tmp_path, SHOP)
    found = examine(tmp_path)
    assert verdicts(found["checks"])["sharing"] == "ok"
    assert found["app"] == "shop:app"
    assert found["threads"] == []
    sharing = found["sharing"]
    assert sharing["share"] > 0.97
    assert sharing["shared_before_bytes"] > 20_000_000
    assert sharing["copied_bytes"] >= sum(row["bytes"] for row in sharing["copied"])
    [dataset] = found["datasets"]
    assert dataset["name"] == "prices"
    assert dataset["objects"] > 300_000
    assert found["sealed_objects"] > dataset["objects"]


def test_objects_that_cannot_be_shared_are_told_by_type(tmp_path: Path) -> None:
    # A view must let go of its buffer when it is dropped, so it cannot be made immortal.
    write(tmp_path, "VIEWS = [memoryview(b'view') for _ in range(150_000)]")
    ended = onecopy("doctor", "shop:app", folder=tmp_path)
    assert "sharing " in ended.stdout
    assert "memoryview" in ended.stdout
    found = json.loads(onecopy("doctor", "shop:app", "--json", folder=tmp_path).stdout)["app"]
    assert verdicts(found["checks"])["sharing"] in ("warning", "problem")
    most = found["sharing"]["copied"][0]
    assert most["type"] == "memoryview"
    assert most["objects"] >= 150_000
    assert most["bytes"] > 20_000_000
    left_out = {row["type"]: row for row in found["left_out"]}
    assert left_out["memoryview"]["objects"] == 150_000
    assert "buffer" in left_out["memoryview"]["reason"]


def test_threads_are_named(tmp_path: Path) -> None:
    source = (
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()\n"
    )
    write(tmp_path, source)
    ended = onecopy("doctor", "shop:app", folder=tmp_path)
    assert ended.returncode == 0
    assert "alive after the import, and in no worker: poller" in ended.stdout
    assert ended.stdout.count("poller") == 1
    assert ended.stdout.endswith("1 warning\n")


@pytest.mark.parametrize(("count", "verdict"), [(3, "ok"), (500, "warning")])
def test_types_that_cannot_be_walked_are_named(tmp_path: Path, count: int, verdict: str) -> None:
    # Each holds a quarter of a megabyte of what could be Python objects.
    source = (
        "import random, zlib\n"
        f"HELD = [zlib.compressobj() for _ in range({count})]\n"
        "for each in HELD:\n"
        "    each.compress(random.randbytes(200_000))\n"
    )
    write(tmp_path, source)
    found = examine(tmp_path)
    [check] = [check for check in found["checks"] if check["name"] == "unwalkable"]
    assert check["verdict"] == verdict
    assert f"{count} zlib.Compress" in check["found"]
    assert ("register_walker" in str(check["cure"])) == (verdict == "warning")
    assert {row["type"]: row["objects"] for row in found["unwalkable"]}["zlib.Compress"] == count


def test_what_the_lifespan_loads_is_sealed_if_the_image_runs_it(tmp_path: Path) -> None:
    source = """
import pathlib

async def app(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["data"] = [str(number) * 3 for number in range(200_000)]
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    pathlib.Path("stopped").write_text("yes")
    await send({"type": "lifespan.shutdown.complete"})
"""
    (tmp_path / "shop.py").write_text(source)
    before = examine(tmp_path)["sealed_objects"]
    found = examine(tmp_path, "--lifespan", "image")
    assert found["sealed_objects"] > before + 200_000
    assert (tmp_path / "stopped").exists()


def test_factory_app_dir_and_env_file_are_those_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    source = (
        "import os\n"
        "def make():\n"
        "    assert os.environ['COLOUR'] == 'green'\n"
        "    async def app(scope, receive, send): ...\n"
        "    return app\n"
    )
    (folder / "shop.py").write_text(source)
    (tmp_path / "settings.env").write_text("COLOUR=green\n")
    arguments = ("--factory", "--app-dir", "src", "--env-file", "settings.env")
    assert examine(tmp_path, *arguments, app="shop:make")["app"] == "shop:make"


BROKEN = {
    "import": "def load():\n    return {}['price']\n\nload()\n",
    "dataset": (
        "from onecopy import OneCopy\n\n@OneCopy().dataset\ndef prices():\n    return {}['price']\n"
    ),
}


@pytest.mark.parametrize("where", BROKEN)
def test_an_error_of_the_app_is_shown_as_its_own(tmp_path: Path, where: str) -> None:
    write(tmp_path, BROKEN[where])
    ended = onecopy("doctor", "shop:app", folder=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert "return {}['price']" in ended.stderr
    assert "KeyError: 'price'" in ended.stderr
    assert "onecopy/server" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("Error: ")
    whole = onecopy("doctor", "shop:app", "--debug", folder=tmp_path)
    assert "onecopy/server/image.py" in whole.stderr
    assert "return {}['price']" in whole.stderr


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("nowhere:app", "Error: no app 'nowhere:app': there is no module 'nowhere'"),
        ("shop:nothing", "has no attribute 'nothing'"),
        ("shop", 'an app is named "module:attribute"'),
    ],
)
def test_an_app_that_is_not_there_is_one_line(tmp_path: Path, app: str, said: str) -> None:
    write(tmp_path, "")
    ended = onecopy("doctor", app, "--json", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("act", "said"),
    [("os._exit(7)", "exited with code 7"), ("os.abort()", "was killed by SIGABRT")],
)
def test_an_app_that_ends_the_process_does_not_end_the_doctor(
    tmp_path: Path, act: str, said: str
) -> None:
    write(tmp_path, f"import os\n{act}\n")
    ended = onecopy("doctor", "shop:app", folder=tmp_path)
    assert ended.returncode == 1
    assert f"Error: the process that loads shop:app {said}" in ended.stderr


def pid_said_on(terminal: Terminal) -> int:
    """Wait until the app has said the pid of its process, and return it."""
    return int(wait_until(lambda: re.search(r"pid (\d+)\n", terminal.text))[1])


def test_a_terminal_sees_what_takes_long_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    source = (
        "import os, time\n"
        "from onecopy import OneCopy\n\n"
        "@OneCopy().dataset\ndef prices():\n"
        "    print('pid', os.getpid(), flush=True)\n"
        "    time.sleep(1000)\n"
    )
    write(tmp_path, source)
    with Terminal("doctor", "shop:app", columns=80, folder=tmp_path) as terminal:
        terminal.wait_for("loading dataset prices")
        pid = pid_said_on(terminal)
        os.killpg(terminal.process.pid, signal.SIGINT)
        text = terminal.end()
        assert terminal.process.returncode == 1
    assert "Traceback" not in text
    assert text.endswith("Aborted!\n")
    wait_until(lambda: not alive(pid))


def test_a_doctor_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    write(tmp_path, "import os\nprint('pid', os.getpid(), flush=True)\nopen('gate').read()\n")
    os.mkfifo(tmp_path / "gate")
    with Terminal("doctor", "shop:app", columns=80, folder=tmp_path) as terminal:
        pid = pid_said_on(terminal)
        assert alive(pid)
        terminal.process.kill()
        wait_until(lambda: not alive(pid))


def test_a_narrow_terminal_loses_no_word(tmp_path: Path) -> None:
    write(tmp_path, SHOP)
    with Terminal("doctor", "shop:app", columns=40, folder=tmp_path) as terminal:
        text = terminal.end()
        assert terminal.process.returncode == 0
    assert "\N{CHECK MARK}  sharing" in text
    assert "stayed shared" in " ".join(text.split())


def webhook_checks(folder: Path, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    ended = onecopy("doctor", *arguments, "--json", folder=folder, environment=environment)
    found = json.loads(ended.stdout)
    checks = found["checks"] + (found["app"]["checks"] if found["app"] else [])
    return [check for check in checks if check["name"] == "webhooks"]


@pytest.mark.parametrize(
    ("variable", "value", "verdict", "words"),
    [
        ("SECRET", "hunter2", "problem", "ONECOPY_WEBHOOK_SECRET"),
        ("ALLOW", "10.1.0.0/16,127.0.0.0/8", "ok", "may call 10.1.0.0/16, 127.0.0.0/8"),
        ("ALLOW", "0.0.0.0/0", "warning", "0.0.0.0/0 is open to all"),
        ("ALLOW", "::/0", "warning", "::/0 is open to all"),
        ("ALLOW", "169.254.0.0/16", "warning", "has a cloud's metadata service"),
    ],
)
def test_what_the_environment_says_of_webhooks(
    tmp_path: Path, variable: str, value: str, verdict: str, words: str
) -> None:
    (check,) = webhook_checks(tmp_path, **{f"ONECOPY_WEBHOOK_{variable}": value})
    assert check["verdict"] == verdict
    assert words in check["found"]
    assert "hunter2" not in check["found"]


def test_callbacks_that_no_secret_signs(tmp_path: Path) -> None:
    source = """
from onecopy import OneCopy
from onecopy.webhooks import Endpoint, Webhooks

own = Endpoint("https://own.example.com/hook", secrets="whsec_" + "YWFh" * 8)
shared = OneCopy(webhooks=Webhooks(urls=["https://all.example.com/not-shown", own]))

@shared.task(callbacks=["https://task.example.com/not-shown"])
def nothing() -> None: ...
"""
    write(tmp_path, source)
    (check,) = webhook_checks(tmp_path, "shop:app")
    assert check["verdict"] == "warning"
    assert check["found"] == "no secret signs what is told to all.example.com, task.example.com"
    secret = "whsec_" + "YWFh" * 8
    environment = {"ONECOPY_WEBHOOK_SECRET": secret, "ONECOPY_WEBHOOK_ALLOW": "127.0.0.0/8"}
    found = webhook_checks(tmp_path, "shop:app", **environment)
    assert [check["verdict"] for check in found] == ["ok", "ok"]
    write(tmp_path, "from onecopy import OneCopy\nshared = OneCopy()")
    assert webhook_checks(tmp_path, "shop:app") == []
