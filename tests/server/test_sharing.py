"""What the whole is for: many workers, one copy."""

from pathlib import Path

import pytest

from tests.running import Service, service

BIG = """
import os
DATA = {f"key {number}": (number, [str(number), number * 1.5]) for number in range(400_000)}

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    total = 0
    for key, (number, (text, value)) in DATA.items():
        total += len(key) + len(text) + hash(key) % 7
    body = str(os.getpid()).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

DATASET = """
from fastapi import FastAPI
from onecopy import OneCopy

shared = OneCopy()
app = FastAPI()
warmed = []

@shared.dataset
def words() -> dict[str, list[int]]:
    return {f"word {number}": [number, number + 1] for number in range(300_000)}

@shared.dataset(name="second")
async def other() -> list[str]:
    return [key.upper() for key in words()]

@shared.warm
def warm() -> None:
    warmed.append(len(other()))

@app.get("/")
async def root() -> list[int]:
    return [sum(values[0] for values in words().values()), len(other()), *warmed]
"""


def _read_all(run: Service, workers: int) -> None:
    seen: set[int] = set()
    for _ in range(200):
        seen.add(run.get())
        if len(seen) == workers:
            return
    raise AssertionError(f"only {len(seen)} workers answered")


def test_four_workers_that_read_everything_hold_one_copy(folder: Path) -> None:
    (folder / "big.py").write_text(BIG)
    with service(folder, "big:app", "--workers", "1", "--no-access-log") as run:
        _read_all(run, 1)
        one = run.memory_held()
    with service(folder, "big:app", "--workers", "4", "--no-access-log") as run:
        _read_all(run, 4)
        four = run.memory_held()
    assert one > 100_000_000
    assert four / one < 1.15, f"{four / one:.3f} copies"


def test_datasets_are_loaded_in_the_image_and_measured(folder: Path) -> None:
    (folder / "data.py").write_text(DATASET)
    with service(folder, "data:app", "--workers", "2") as run:
        assert run.get() == [sum(range(300_000)), 300_000, 300_000]
        status = run.status()
        words, second = status["datasets"]
        assert (words["name"], words["kind"]) == ("words", "resident")
        assert words["bytes"] > 30_000_000
        assert words["objects"] > 600_000
        assert words["load_seconds"] > 0
        assert second["name"] == "second"
        assert second["objects"] >= 300_000
        assert run.log.count("loaded dataset words") == 1
        assert "warmed warm" in run.log
        assert status["one_process_bytes"] > words["bytes"] + second["bytes"]


def test_other_threads_in_the_image_are_named(folder: Path) -> None:
    (folder / "threads.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True, name='poller').start()\n"
        "from plain import app\n"
    )
    with service(folder, "threads:app", "--workers", "1") as run:
        assert "1 other thread is alive in the image" in run.log
        assert "poller" in run.log
        assert run.get()


@pytest.mark.parametrize("requests", [3000])
def test_worker_keeps_little_of_its_own_under_load(folder: Path, requests: int) -> None:
    (folder / "data.py").write_text(DATASET)
    with service(folder, "data:app", "--workers", "1", "--no-access-log") as run:
        (worker,) = run.pids("web")
        for _ in range(requests // 1000):
            run.get()
        rollup = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()
        dirty = next(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:"))
        assert dirty < 12_000, f"{dirty} kB"
