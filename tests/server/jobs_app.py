"""Source of the app that the tests of jobs run, and what they ask of it."""

import http.client
import json
import os
import time
from collections.abc import Callable
from typing import Any

from onecopy.execution.calls import Caller
from tests.running import DEADLINE, Service, wait_until

TASKS = """
import asyncio, ctypes, os, signal, sys, threading, time
from fastapi import FastAPI
from onecopy import JobContext, OneCopy, Progress
from onecopy.errors import Failed, JobCancelled, Retry, TimeLimitReached

shared = OneCopy()
app = FastAPI()
shared.install(app)


@shared.dataset
def words() -> dict[str, list[int]]:
    return {f"word {number}": [number, number + 1] for number in range(300_000)}


def note(text: str) -> None:
    fd = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (text + "\\n").encode())
    os.close(fd)


@shared.task
def count(names: list[str], progress: Progress) -> list[list[int] | None]:
    return [words().get(name) for name in progress.track(names)]

@shared.task(retries=3, backoff=0.05)
def flaky(until: int, context: JobContext) -> int:
    note(f"flaky {time.time()}")
    if context.attempt < until:
        raise ValueError(f"not yet: {context.attempt}")
    return context.attempt

@shared.task(retries=5, retry_on=KeyError)
def picky() -> None:
    raise ValueError("not worth another try")

@shared.task(retries=1)
def later() -> None:
    note(f"later {time.time()}")
    raise Retry(after=0.7)

@shared.task(retries=5)
def hopeless() -> None:
    raise Failed("it is of no use")

@shared.task
def mark(text: str) -> str:
    note(text)
    return text

@shared.task
def block(seconds: float) -> int:
    note(f"begin {os.getpid()}")
    time.sleep(seconds)
    note(f"end {os.getpid()}")
    return os.getpid()

@shared.task
async def nap(seconds: float) -> int:
    note(f"begin {os.getpid()}")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("nap cancelled")
        raise
    note(f"end {os.getpid()}")
    return os.getpid()

@shared.task(concurrency=2)
async def few(seconds: float) -> int:
    note(f"few-begin {os.getpid()}")
    await asyncio.sleep(seconds)
    note(f"few-end {os.getpid()}")
    return os.getpid()

@shared.task(timeout=0.5)
def spin(kind: str) -> str:
    try:
        while True:
            pass
    except TimeLimitReached as error:
        note(f"spin {error.seconds}")
        if kind == "return":
            return "saved"
        raise

@shared.task(timeout=0.5)
async def async_spin() -> None:
    await asyncio.sleep(1000)

@shared.task(timeout=0.5)
def deaf() -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

@shared.task(timeout=0.5)
def in_c() -> None:
    sum(iter(int, 1))  # It comes back to Python never, and lets no other thread run.

@shared.task(timeout=0.5)
async def async_deaf() -> None:
    while True:
        pass

@shared.task(max_memory="100 MB", retries=1, backoff=0.05)
def greedy() -> None:
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1_000_000)))
        time.sleep(0.002)

@shared.task(retries=1, backoff=0.05)
def leave() -> None:
    note("leave")
    os._exit(5)

@shared.task
def crash() -> None:
    ctypes.string_at(0)

@shared.task
def sys_exit() -> None:
    sys.exit(3)

@shared.task
def patient(context: JobContext) -> str:
    note("patient begins")
    while not context.cancelled:
        time.sleep(0.01)
    return "stopped by itself"

@shared.task
def other(job: str) -> None:
    raise JobCancelled(job)

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

@shared.task
def mute() -> None:
    raise Mute

@shared.task
def surrogate() -> None:
    raise ValueError("half a character: \\ud800, and a NUL: \\0")

@shared.task
def wrong_result() -> int:
    return "no number"

@shared.task
def half_result() -> str:
    return "\\ud800"

@shared.task
def huge_result() -> str:
    return "x" * (65 * 1024 * 1024)

@shared.task
def wrong_progress(progress: Progress) -> None:
    progress.update(1, None, "\\ud800")
    time.sleep(0.3)
    progress.update(2, 3, 7)
    time.sleep(0.3)
    progress.update(float("nan"))

@shared.task
def talk() -> int:
    print("said by a task")
    return os.getpid()

@shared.task
def fork(how: str) -> int:
    child = os.fork()
    if child == 0:
        if how == "raise":
            raise RuntimeError("in the child")
        return 0
    os.waitpid(child, 0)
    return child

@shared.task
def end_children() -> list[int]:
    ends = []
    for _ in range(50):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ends

@shared.task
def multiprocess() -> int:
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, range(-10, 0)))

@shared.task
def thread() -> str:
    threading.Thread(target=time.sleep, args=(2,)).start()
    return "started"

@shared.task
def wander() -> None:
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    os.rmdir("../elsewhere")

@shared.task
def where() -> str:
    return os.getcwd()

@shared.task
def deep(level: int) -> int:
    return deep(level + 1)

@shared.task(queue="slow")
def slow_queue() -> str:
    return "slow"

@shared.task
def read_all() -> int:
    time.sleep(0.3)
    return sum(values[0] + len(key) for key, values in words().items()) and os.getpid()

for task in list(shared.declared_tasks()):
    app.post("/" + task.name.rpartition(".")[2])(task.endpoint)

@app.get("/read")
def read() -> int:
    return sum(values[0] + len(key) for key, values in words().items()) and os.getpid()

@app.get("/submit/{text}")
async def submit(text: str) -> str:
    return await (await mark.submit(text)).result(timeout=20)

@app.get("/submit_sync/{text}")
def submit_sync(text: str) -> list[str]:
    job = mark.submit_sync(text)
    return [job.result_sync(timeout=20), job.status_sync()]

@app.get("/delayed")
async def delayed() -> list[float]:
    began = time.time()
    job = await mark.options(delay=0.6).submit("delayed")
    status = await job.status()
    await job.result(timeout=20)
    info = await job.info()
    return [info.started_at - began, status == "queued"]

@app.get("/priorities")
async def priorities() -> None:
    for priority in (0, 5, -5, 9):
        await mark.options(priority=priority).submit(f"priority {priority}")

@app.get("/unknown")
async def unknown(task: str) -> str:
    from msgspec.structs import replace
    from onecopy.execution.connect import runtime_here
    job = replace(mark.sender.job('{"text": "x"}'), task=task)
    await (await runtime_here()).accept([job])
    return job.id

@app.get("/history/{job}")
async def history(job: str) -> list[list[object]]:
    from onecopy.execution.connect import runtime_here
    events = await (await runtime_here()).store.events({job: -1})
    return [[event.number, event.kind, event.data] for event in events]

@app.get("/call/{name}")
async def call(name: str, argument: str | None = None) -> list[object]:
    from onecopy.errors import OneCopyError
    task = globals()[name].options(timeout=float(argument)) if argument else globals()[name]
    arguments = {"mark": ["called"], "flaky": [3], "block": [5.0], "nap": [5.0]}.get(name, [])
    try:
        return ["result", await task.call(*arguments)]
    except OneCopyError as error:
        return [type(error).__name__, str(error)]
"""


class Jobs:
    """Sends jobs to a service over HTTP and asks about them."""

    def __init__(self, run: Service) -> None:
        self.run = run

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and JSON of an answer."""
        connection = http.client.HTTPConnection(self.run.host, self.run.port, timeout=DEADLINE)
        try:
            sent = {"content-type": "application/json", "connection": "close", **(headers or {})}
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, sent)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def submit(self, task: str, **arguments: object) -> str:
        """Submit a job and return its id."""
        status, job = self.ask("POST", f"/{task}", arguments)
        assert status == 202, (status, job, self.run.log)
        return job["id"]

    def look(self, job: str) -> dict[str, Any]:
        """Return a job as it is."""
        status, found = self.ask("GET", f"/jobs/{job}")
        assert status == 200, (status, found)
        return found

    def wait(self, job: str, seconds: float = DEADLINE) -> dict[str, Any]:
        """Return a job once it is final."""
        ends = time.monotonic() + seconds
        while True:
            status, found = self.ask("GET", f"/jobs/{job}", headers={"Prefer": "wait=10"})
            assert status == 200, (status, found)
            if found["status"] in ("succeeded", "failed", "cancelled"):
                return found
            if time.monotonic() > ends:
                raise AssertionError(f"{found} after {seconds} s\n{self.run.log}")

    def do(self, task: str, **arguments: object) -> dict[str, Any]:
        """Submit a job and return it once it is final."""
        return self.wait(self.submit(task, **arguments))

    def caller(self) -> Caller:
        """Return what calls its workers from this process."""
        return Caller(str(self.run.folder / ".onecopy"))

    def kinds(self, job: str) -> list[str]:
        """Return the kinds of a job's events, without progress."""
        events = self.run.get(f"/history/{job}")
        assert [event[0] for event in events] == list(range(len(events)))
        return [event[1] for event in events if event[1] != "progress"]

    def notes(self) -> list[str]:
        """Return what tasks have noted in the order of time."""
        try:
            return (self.run.folder / "notes").read_text().splitlines()
        except OSError:
            return []

    def forget(self) -> None:
        """Empty the notes."""
        if os.path.exists(self.run.folder / "notes"):
            os.truncate(self.run.folder / "notes", 0)

    def wait_for_note(self, found: Callable[[str], bool]) -> str:
        """Return the first note of a kind."""
        return wait_until(lambda: next(filter(found, self.notes()), None), what="a note")
