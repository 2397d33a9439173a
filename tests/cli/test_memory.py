import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onecopy import heap
from onecopy.cli import choice, memory
from onecopy.server.control import running_supervisors
from tests.cli.terminal import Terminal, onecopy
from tests.running import DEADLINE, ONECOPY, Service, service, wait_until

SHOP = """
from onecopy import OneCopy

shared = OneCopy()

@shared.dataset
def prices():
    return {f"item {number}": (number, number / 7) for number in range(20_000)}

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1"})
"""
RUN = ("--lifespan", "off")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one dataset and two workers."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    with service(folder, "shop:app", "--workers", "2", *RUN) as started:
        yield started


def seen(pids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command see of all services on this machine the given ones only."""
    monkeypatch.setattr(
        choice,
        "running_supervisors",
        lambda: [pid for pid in running_supervisors() if pid in pids],
    )


def in_this_process(*arguments: str) -> Result:
    return CliRunner().invoke(memory.command, arguments)


def test_json_is_the_object_and_nothing_else(shop: Service) -> None:
    ended = onecopy("memory", "--json", "--pid", str(shop.pid))
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert list(found) == [
        "supervisor_pid",
        "total_pss_bytes",
        "one_process_bytes",
        "separate_copies_bytes",
        "processes",
        "datasets",
    ]
    assert found["supervisor_pid"] == shop.pid
    processes = found["processes"]
    for process in processes:
        assert list(process) == [
            "pid",
            "role",
            "generation",
            "pss_bytes",
            "private_bytes",
            "shared_bytes",
            "uptime_seconds",
        ]
        assert process["generation"] == 1
        assert process["private_bytes"] <= process["pss_bytes"]
        assert process["uptime_seconds"] > 0
    assert [p["role"] for p in processes] == ["supervisor", "image", "web", "web"]
    assert [p["pid"] for p in processes if p["role"] == "web"] == shop.pids("web")
    assert found["total_pss_bytes"] == sum(p["pss_bytes"] for p in processes)
    assert found["separate_copies_bytes"] == 2 * found["one_process_bytes"]
    assert found["one_process_bytes"] > max(p["pss_bytes"] for p in processes)
    [dataset] = found["datasets"]
    assert list(dataset) == ["name", "kind", "bytes", "objects", "load_seconds"]
    assert (dataset["name"], dataset["kind"]) == ("prices", "resident")
    assert dataset["objects"] > 60_000
    assert dataset["bytes"] > 2_000_000
    assert dataset["load_seconds"] > 0


def test_in_a_pipe_every_process_and_dataset_is_one_plain_line(shop: Service) -> None:
    ended = onecopy("memory", "--pid", str(shop.pid), environment={"COLUMNS": "20"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.isascii()
    assert "\x1b" not in ended.stdout
    lines = ended.stdout.splitlines()
    assert lines[0] == f"shop:app, http://127.0.0.1:{shop.port}, generation 1"
    assert re.fullmatch(
        r"[\d.]+ MB in all; 2 separate copies would take [\d.]+ MB \([\d.]+ times as much\)",
        lines[1],
    )
    head = ["process", "pid", "generation", "PSS", "private", "shared", "uptime"]
    assert lines[3].split() == head
    rows = [re.split(r"\s{2,}", line) for line in lines[4:8]]
    assert [row[0] for row in rows] == ["supervisor", "image", "web worker", "web worker"]
    assert all(len(row) == len(head) for row in rows)
    assert [int(row[1]) for row in rows[2:]] == shop.pids("web")
    assert re.fullmatch(r"prices +resident +[\d.]+ MB +[\d,]+ +[\d.]+ s", lines[10])
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (100, ["process", "pid", "generation", "PSS", "private", "shared", "uptime"]),
        (60, ["process", "pid", "PSS", "private", "shared", "uptime"]),
        (36, ["process", "PSS", "private"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_numbers(
    shop: Service, columns: int, titles: list[str]
) -> None:
    with Terminal("memory", "--pid", str(shop.pid), columns=columns) as terminal:
        lines = terminal.end().splitlines()
    assert max(map(len, lines)) <= columns
    head = next(line for line in lines if line.startswith("process"))
    assert head.split() == titles
    rows = [line for line in lines if line.startswith("web worker")]
    assert len(rows) == 2
    sizes = [re.findall(r"[\d.,]+ MB", row) for row in rows]
    assert all(len(found) == len({"PSS", "private", "shared"} & set(titles)) for found in sizes)


def test_it_finds_the_running_service_by_itself(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen([shop.pid], monkeypatch)
    assert json.loads(in_this_process("--json").stdout)["supervisor_pid"] == shop.pid


def test_with_no_service_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen([], monkeypatch)
    ended = in_this_process("--json")
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr == "Error: no onecopy service of this user is running\n"


def test_with_several_services_one_has_to_be_named(shop: Service, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with service(tmp_path, "shop:app", "--workers", "1", *RUN) as other:
        ended = onecopy("memory")
        assert ended.returncode == 1
        assert ended.stdout == ""
        assert ended.stderr.count("\n") == 1
        assert f"{shop.pid} (shop:app, http://127.0.0.1:{shop.port})" in ended.stderr
        assert f"{other.pid} (shop:app, http://127.0.0.1:{other.port})" in ended.stderr
        assert "--pid" in ended.stderr
        here = {"ONECOPY_STATE_DIR": str(tmp_path / ".onecopy")}
        of_this_folder = onecopy("memory", "--json", environment=here)
        assert json.loads(of_this_folder.stdout)["supervisor_pid"] == other.pid
        named = onecopy("memory", "--json", "--pid", str(other.pid))
        assert [p["role"] for p in json.loads(named.stdout)["processes"]].count("web") == 1


def test_a_tier_of_job_workers_is_named_by_its_queues() -> None:
    status = {"app": "shop:app", "url": "", "queues": ["default", "slow"]}
    assert choice.name_of(status) == "shop:app, queues default slow"


def test_a_pid_that_is_no_supervisor_is_refused() -> None:
    ended = onecopy("memory", "--pid", str(os.getpid()))
    assert ended.returncode == 1
    assert ended.stderr == f"Error: {os.getpid()} is no running supervisor of onecopy\n"


def test_a_process_that_went_away_meanwhile_is_left_out(shop: Service) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(DEADLINE)
    status = shop.status()
    status["processes"].append(
        {"pid": gone.pid, "role": "web", "generation": 1, "uptime_seconds": 1.0}
    )
    found = memory.measure(status)
    assert gone.pid not in [process.pid for process in found.processes]
    assert found.separate_copies_bytes == 2 * status["one_process_bytes"]


def test_where_shared_memory_cannot_be_told_it_says_so(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resident_size_alone(pids: list[int]) -> dict[int, heap.ProcessMemory]:
        return {pid: heap.ProcessMemory(pid, 5_000_000, 5_000_000, 0, False) for pid in pids}

    seen([shop.pid], monkeypatch)
    monkeypatch.setattr(heap, "memory", resident_size_alone)
    text = in_this_process().stdout
    assert re.search(r"^web worker +\d+ +1 +5\.0 MB +- +- ", text, re.MULTILINE)
    assert "does not tell private from shared memory" in text
    found = json.loads(in_this_process("--json").stdout)
    assert {(p["private_bytes"], p["shared_bytes"]) for p in found["processes"]} == {(None, None)}
    assert found["total_pss_bytes"] == 20_000_000


def test_a_service_that_still_loads_has_no_copies_to_compare(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "slow.py").write_text("open('gate').read()\napp = None\n")
    with Service(tmp_path, "slow:app", "--workers", "2", *RUN) as started:

        def answer() -> Any:  # noqa: ANN401 - any JSON
            ended = onecopy("memory", "--json", "--pid", str(started.pid))
            return json.loads(ended.stdout) if ended.returncode == 0 else None

        found = wait_until(answer)
        assert [p["role"] for p in found["processes"]] == ["supervisor", "image"]
        assert (found["one_process_bytes"], found["separate_copies_bytes"]) == (0, 0)
        assert found["datasets"] == []
        assert "no worker runs yet" in onecopy("memory", "--pid", str(started.pid)).stdout


def test_watching_as_json_gives_a_line_for_each_look_until_ctrl_c(shop: Service) -> None:
    arguments = ["memory", "--watch", "--interval", "0.1", "--json", "--pid", str(shop.pid)]
    with subprocess.Popen(
        [*ONECOPY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        looks = [json.loads(watching.stdout.readline()) for _ in range(3)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(DEADLINE) == 0
        assert watching.stderr.read() == ""
    uptimes = [look["processes"][0]["uptime_seconds"] for look in looks]
    assert uptimes == sorted(set(uptimes))


def test_watching_on_a_terminal_draws_in_place_until_ctrl_c(shop: Service) -> None:
    arguments = ("memory", "--watch", "--interval", "0.1", "--pid", str(shop.pid))
    with Terminal(*arguments, columns=100) as terminal:
        terminal.wait_for("in all;", times=3)
        terminal.process.send_signal(signal.SIGINT)
        text = terminal.end()
        assert terminal.process.returncode == 0
        assert terminal.raw.count("\x1b[1A") >= 2 * 8  # Up, over what was there.
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")
    assert "Traceback" not in text


def test_watching_ends_when_the_service_ends(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with service(tmp_path, "shop:app", "--workers", "1", *RUN) as started:
        arguments = ("memory", "--watch", "--interval", "0.1", "--pid", str(started.pid))
        with Terminal(*arguments, columns=100) as terminal:
            terminal.wait_for("in all;")
            assert started.stop() == 0
            text = terminal.end()
            assert terminal.process.returncode == 0
    assert text.endswith(f"the service {started.pid} has ended\n")
