"""Bounds that the supervisor holds workers to.

Web workers: an event loop that turns, private memory. Job workers: what their attempts may have of
time and memory. All: the time in which they have to leave when told to.
"""

from __future__ import annotations

import signal
import time

from onecopy.server.narration import megabytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from onecopy.heap import ProcessMemory
    from onecopy.server.children import Worker
    from onecopy.server.generation import Generation
    from onecopy.server.run import Run
    from onecopy.server.scoreboard import Scoreboard

STACK_SIGNAL = getattr(signal, "SIGRTMAX", signal.SIGUSR2)
"""A worker answers this signal with the stacks of its threads (faulthandler)."""
_LEAST_TO_TELL = 20_000_000
"""Private bytes of a worker below which nobody need be told."""
_JOBS_EVERY = 0.5
_MUCH = 200_000_000
"""Private bytes that are worth a word, whatever the size of the image."""


class Limits:
    """Looks at workers now and then, and does what the options say."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._memory_at = 0.0
        self._turns_at = 0.0
        self._jobs_at = 0.0
        self._told = False

    def check(self, workers: Iterable[Worker]) -> float:
        """Check web workers if it is time; return when to look again (monotonic seconds)."""
        serving = [w for w in workers if w.role == "web" and w.runs]
        due = float("inf")
        if self._run.settings.timeout is not None:
            if time.monotonic() >= self._turns_at:
                self._check_turns(serving)
                self._turns_at = time.monotonic() + min(1.0, self._run.settings.timeout / 4)
            due = self._turns_at
        if self._run.settings.max_worker_memory is not None or not self._told:
            if time.monotonic() >= self._memory_at:
                self._check_memory(serving)
            due = min(due, self._memory_at)
        return due

    def check_jobs(self, workers: Iterable[Worker]) -> float:
        """Check job workers if it is time, while the service stops too: it waits for their jobs.

        Returns when to look again (monotonic seconds).
        """
        working = [w for w in workers if w.role == "job" and w.runs]
        if not working:
            return float("inf")
        if time.monotonic() >= self._jobs_at:
            self._check_jobs(working)
            self._jobs_at = time.monotonic() + _JOBS_EVERY
        return self._jobs_at

    def check_leaving(self, generations: Iterable[Generation]) -> float:
        """Kill whose time to leave is over; return when to look again (monotonic seconds)."""
        now = time.monotonic()
        due = float("inf")
        for generation in generations:
            for child in generation.children():
                due = min(due, child.kill_if_due(now))
            for worker in generation.workers:
                due = min(due, self._notice_slow_drain(worker, now))
        return due

    def _notice_slow_drain(self, worker: Worker, now: float) -> float:
        if worker.notice_at is None:
            return float("inf")
        if now < worker.notice_at:
            return worker.notice_at
        worker.notice_at = None
        count = self._run.scoreboard.connections(worker.slot)
        self._run.narrator.warning(
            f"worker {worker.pid} (generation {worker.generation.number}) was told to leave a "
            f"minute ago, still answers on {count} connections, and keeps its generation's data "
            "in memory; --timeout-graceful-shutdown bounds this"
        )
        return float("inf")

    def _check_jobs(self, workers: Iterable[Worker]) -> None:
        """Kill who runs an attempt over its time, or with more memory than it may have."""
        for worker in workers:
            if worker.doom is None:
                worker.doom = self._doom(worker)
                if worker.doom is not None:
                    worker.signal(signal.SIGKILL)

    def _doom(self, worker: Worker) -> str | None:
        return None if worker.pid is None else doom(self._run.scoreboard, worker.slot, worker.pid)

    def _check_turns(self, workers: Iterable[Worker]) -> None:
        limit = self._run.settings.timeout
        assert limit is not None
        for worker in workers:
            still = self._run.scoreboard.last_turn(worker.slot)
            if still is None or still < limit or worker.kill_at is not None:
                continue
            self._run.narrator.error(
                f"worker {worker.pid}: its event loop has not turned for {still:.1f} s "
                f"(--timeout {limit:g}): it is killed and replaced; its stack:"
            )
            worker.signal(STACK_SIGNAL)
            # Time to write the stack; one that is stopped or stuck in the kernel writes none.
            worker.kill_at = time.monotonic() + 0.5

    def _check_memory(self, workers: Iterable[Worker]) -> None:
        from onecopy.heap._memory import memory

        begun = time.monotonic()
        for worker in workers:
            if worker.state != "ready" or worker.retiring or begun - worker.started < 1:
                continue
            assert worker.pid is not None
            found = memory([worker.pid]).get(worker.pid)
            if found is not None:
                self._judge_memory(worker, found)
        now = time.monotonic()
        # The kernel walks the page tables for this: never more than 2% of one processor.
        self._memory_at = now + max(2.0, 50 * (now - begun))

    def _judge_memory(self, worker: Worker, found: ProcessMemory) -> None:
        limit = self._run.settings.max_worker_memory
        private = found.private_bytes
        if limit is not None and private > limit:
            worker.generation.retire(
                worker,
                f"it holds {megabytes(private)} of its own, "
                f"more than --max-worker-memory {megabytes(limit)}",
            )
        image = worker.generation.facts.get("image_bytes", 0)
        if self._told or private < _LEAST_TO_TELL:
            return
        if private > image / 4 or private > _MUCH:
            self._told = True
            self._run.narrator.warning(
                f"worker {worker.pid} holds {megabytes(private)} that it shares with nobody "
                f"(the image: {megabytes(image)}). Data that each worker loads for itself, in a "
                "lifespan or at the first request, is not shared: load it when the module is "
                "imported or in an @shared.dataset, or start with --lifespan image."
            )


def doom(scoreboard: Scoreboard, slot: int, pid: int) -> str | None:
    """Return why a process that runs jobs is to be killed, as the word for its end; None if not."""
    return _over_time(scoreboard, slot) or _over_memory(scoreboard, slot, pid)


def _over_time(scoreboard: Scoreboard, slot: int) -> str | None:
    deadline = scoreboard.deadline(slot)
    if deadline is None or time.time() <= deadline:
        return None
    return "killed: its task did not end when its time was over"


def _over_memory(scoreboard: Scoreboard, slot: int, pid: int) -> str | None:
    from onecopy.heap._memory import memory

    limit = scoreboard.memory_limit(slot)
    if limit is None:
        return None
    found = memory([pid]).get(pid)
    if found is None or found.private_bytes <= limit:
        return None
    return (
        f"killed: out of memory: {megabytes(found.private_bytes)} private of a "
        f"{megabytes(limit)} limit"
    )
