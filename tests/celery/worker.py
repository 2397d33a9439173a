"""A Celery worker as a user starts it, and the web tier's part of a job."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace

from onecopy import heap
from onecopy.engines.celery_app import app_of
from onecopy.engines.local import LocalEngine
from onecopy.engines.urls import open_engine
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Event, Job, new_id
from onecopy.stores import Filter
from onecopy.stores.urls import open_store
from tests.running import DEADLINE, wait_until

CELERY = Path(sys.executable).with_name("celery")
APP = "tests.celery.work:shared.celery"


class Tier:
    """Submits jobs as a web tier does, and looks at them; each call has a runtime of its own."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self.engine = engine
        (folder / "state").mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "ONECOPY_ENGINE": self.engine,
            "ONECOPY_STATE_DIR": str(self.folder / "state"),
        }

    def use[T](self, what: Callable[[Runtime], Awaitable[T]]) -> T:
        async def run() -> T:
            folder = str(self.folder / "state")
            engine = open_engine(self.engine, LocalEngine(folder), folder)
            runtime = Runtime(open_store(f"sqlite:///{folder}/jobs.sqlite3"), engine, folder)
            await runtime.open()
            try:
                return await what(runtime)
            finally:
                await runtime.close()

        return asyncio.run(run())

    def submit(
        self, task: str, *, options: dict[str, Any] | None = None, **arguments: object
    ) -> str:
        return self.submit_many(task, [arguments], options=options)[0]

    def submit_often(self, task: str, times: int) -> list[str]:
        calls: list[dict[str, object]] = [{} for _ in range(times)]
        return self.submit_many(task, calls)

    def submit_many(
        self,
        task: str,
        calls: Sequence[Mapping[str, object]],
        *,
        options: dict[str, Any] | None = None,
    ) -> list[str]:
        now = time.time()
        jobs = [
            replace(
                Job(
                    id=new_id(),
                    task=task,
                    arguments=json.dumps(call),
                    created_at=now,
                    due_at=now,
                ),
                **(options or {}),
            )
            for call in calls
        ]
        self.use(lambda runtime: runtime.accept(jobs))
        return [job.id for job in jobs]

    def wait(self, job: str, seconds: float = DEADLINE) -> Job:
        """Wait until a job is final."""
        found = self.use(lambda runtime: runtime.wait(job, seconds))
        assert found.final, found
        return found

    def result(self, job: str) -> Any:  # noqa: ANN401  JSON
        found = self.wait(job)
        assert found.status == "succeeded", found
        return json.loads(found.result or "null")

    def job(self, job: str) -> Job:
        (found,) = self.use(lambda runtime: runtime.store.get([job]))
        return found

    def events(self, job: str) -> list[Event]:
        return self.use(lambda runtime: runtime.store.events({job: -1}))

    def wait_for_status(self, job: str, status: str) -> Job:
        return wait_until(
            lambda: found if (found := self.job(job)).status == status else None,
            what=f"job {job} {status}",
        )

    def jobs(self) -> list[Job]:
        return self.use(lambda runtime: runtime.store.find(Filter(limit=10_000)))


class Worker:
    """`celery -A ... worker`, in a session of its own, its output in a file."""

    def __init__(
        self,
        tier: Tier,
        *options: str,
        app: str = APP,
        environment: dict[str, str] | None = None,
        concurrency: int = 2,
        cwd: Path | None = None,
    ) -> None:
        self.path = tier.folder / f"celery-{time.monotonic_ns()}.txt"
        # Without its neighbours, for which it would wait a second.
        words = ["-c", str(concurrency), "-l", "info", "--without-mingle", "--without-gossip"]
        with self.path.open("wb") as log:
            self.process = subprocess.Popen(
                [CELERY, "-A", app, "worker", *words, *options],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **tier.environment,
                    "C_FORCE_ROOT": "1",
                    **(environment or {}),
                },
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.path.read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            return self.wait_for_log(r"celery@\S+ ready|\] \S+@\S+ ready")
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for_log(self, pattern: str) -> Self:
        def said() -> bool:
            assert self.process.poll() is None or re.search(pattern, self.log), self.log
            return re.search(pattern, self.log) is not None

        wait_until(said, what=f"{pattern!r} in the log")
        return self

    def children(self) -> dict[int, str]:
        """The processes below the main one, and their names."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in path.read_text().split()]
        return {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}

    def pool(self) -> list[int]:
        return [pid for pid, name in self.children().items() if name != "onecopy keeper"]

    def pss(self) -> int:
        pids = [self.process.pid, *self.children()]
        return sum(each.pss_bytes for each in heap.memory(pids).values())

    def stop(self) -> None:
        """Let it end in order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"it does not end:\n{self.log}") from None
            finally:
                self.kill()

    def kill(self) -> None:
        """End it by SIGKILL with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def inspect(tier: Tier, method: str) -> Any:  # noqa: ANN401  JSON
    """Return what the only worker answers to a method of `celery inspect`."""
    asking: Any = app_of(tier.engine).control.inspect(timeout=DEADLINE, limit=1)
    (answer,) = getattr(asking, method)().values()
    return answer
