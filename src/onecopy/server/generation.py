"""A generation: one image and the workers forked from it."""

from __future__ import annotations

import os
import signal
import sys
import time

from onecopy.server.channel import Channel, Closed
from onecopy.server.children import ImageProcess, Worker, describe_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Literal

    from onecopy.server.children import Child, Role
    from onecopy.server.run import Run

_ROLES: tuple[Role, ...] = ("web", "job")
_TRIES = 3
"""Workers that may die at once, one after the other, before the next has to wait."""
_LONGEST_WAIT = 10.0
_AT_ONCE = 1.0
"""Seconds after which a worker that dies has not died at once."""
_FORKS = 64
"""Workers to ask for in one message."""


class Generation:
    """Starts an image, has it fork workers, and keeps as many as are wanted."""

    def __init__(self, run: Run, number: int, changed: Callable[[Generation], None]) -> None:
        self.run = run
        self.number = number
        self.workers: list[Worker] = []
        self.state: Literal["loading", "loaded", "failed", "lost", "ending"] = "loading"
        self.failure: str | None = None
        self.promoted = False
        """Whether it serves, or has served."""
        self.facts: dict[str, Any] = {}
        """What the image said of itself: its bytes, its datasets."""
        self._changed = changed
        self._quick_deaths = 0
        self._fork_at = 0.0
        self.image = ImageProcess(run, self._from_image, self._image_closed)

    # The image.

    def _from_image(self, message: dict[str, Any]) -> None:
        if message["event"] == "loaded":
            self.facts = message
            self.state = "loaded"
            self.reconcile()
        elif message["event"] == "failed":
            self.fail(message["reason"])
        elif message["event"] == "fork-failed":
            for worker in [w for w in self.workers if w.slot in message["slots"]]:
                self._forget(worker)
            self.run.narrator.error(f"cannot fork a worker: {message['reason']}")
            self._wait_longer()

    def _image_closed(self) -> None:
        if sys.platform != "linux":
            self._image_gone(None)

    def _image_gone(self, status: int | None) -> None:
        pid, self.image.pid = self.image.pid, None
        how = describe_exit(status)
        if self.state == "loading":
            self.fail(f"the image {how} while it loaded the app")
        elif self.state == "loaded":
            self.run.narrator.warning(f"image {pid} {how}")
            self.state = "lost"
        self._changed(self)

    def fail(self, reason: str) -> None:
        """Note the first reason why this generation will not serve."""
        if self.failure is None:
            self.failure = reason
            self.state = "failed"
            self._changed(self)

    def end_image(self) -> None:
        """Let the image end."""
        self.state = "ending"
        self.image.end(loaded=bool(self.facts))

    def kill(self) -> None:
        """End everything of this generation at once."""
        self.state = "ending"
        for child in self.children():
            child.signal(signal.SIGKILL)

    def kill_workers(self) -> None:
        """End the workers at once."""
        for worker in self.workers:
            worker.signal(signal.SIGKILL)

    @property
    def gone(self) -> bool:
        """Whether no process of it is left."""
        return not self.workers and self.image.pid is None

    def children(self) -> Iterator[Child]:
        """Yield the image and all workers."""
        yield self.image
        yield from self.workers

    def child_ended(self, pid: int, status: int) -> bool:
        """Note that a process has ended; return whether it was one of this generation."""
        if pid == self.image.pid:
            self._image_gone(status)
            return True
        for worker in self.workers:
            if worker.pid == pid:
                self._worker_gone(worker, status)
                return True
        return False

    # The workers.

    def wanted(self, role: Role) -> int:
        """Return how many workers of a role there should be."""
        settings = self.run.settings
        if role == "web":
            return 0 if settings.tier == "worker" else settings.workers
        if settings.tier == "web":
            return 0
        if settings.job_workers is not None:
            return settings.job_workers
        return 1 if self.facts.get("tasks") else 0

    def ready_workers(self, role: Role | None = None) -> list[Worker]:
        """Return the workers that serve and are to stay."""
        return [
            w
            for w in self.workers
            if w.state == "ready" and not w.retiring and role in (None, w.role)
        ]

    @property
    def complete(self) -> bool:
        """Whether as many workers of each role serve as are wanted."""
        return all(self._complete(role) for role in _ROLES)

    def _complete(self, role: Role) -> bool:
        return len(self.ready_workers(role)) >= self.wanted(role)

    def reconcile(self) -> float:
        """Fork what is missing, drain what is too much; return when to look again (monotonic)."""
        if self.state != "loaded":
            return float("inf")
        return min(self._reconcile(role) for role in _ROLES)

    def _reconcile(self, role: Role) -> float:
        ours = [w for w in self.workers if w.role == role and w.state != "draining"]
        staying = [w for w in ours if not w.retiring]
        missing = self.wanted(role) - len(staying)
        if missing > 0 and time.monotonic() < self._fork_at:
            return self._fork_at
        if missing > 0:
            self._fork(role, missing)
        leaving = staying[missing:] if missing < 0 else []
        if self._complete(role):
            leaving += [w for w in ours if w.retiring]
        for worker in leaving:
            worker.drain(self.run.settings, patient=True)
        return float("inf")

    def _fork(self, role: Role, count: int) -> None:
        theirs: list[Channel] = []
        slots: list[int] = []
        for _ in range(min(count, _FORKS)):
            slot = self.run.scoreboard.take_slot(self.run.slots)
            self.run.slots.add(slot)
            ours, other = Channel.pair()
            ours.setblocking(False)
            worker = Worker(self, role, slot, ours)
            self.workers.append(worker)
            self.run.poller.watch(ours.fileno(), lambda worker=worker: self._read_worker(worker))
            theirs.append(other)
            slots.append(slot)
        self.image.fork(role, slots, theirs)
        for channel in theirs:
            channel.close()

    def _read_worker(self, worker: Worker) -> None:
        try:
            for message in worker.channel.receive():
                if worker in self.workers:
                    self._from_worker(worker, message)
        except Closed:
            self.run.poller.unwatch(worker.channel.fileno())
            worker.channel.close()
            if worker.channel_closed():
                self._worker_gone(worker, None)

    def _from_worker(self, worker: Worker, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "hello":
            worker.pid = message["pid"]
            status = self.run.take_exit(message["pid"])
            if status is not None:
                self._worker_gone(worker, status)
        elif event == "ready" and worker.state == "starting":
            worker.state = "ready"
            worker.started = time.monotonic()
            self._note(worker, message)
            self._changed(self)
        elif event == "retire":
            self.retire(worker, message["reason"])
        else:
            self._note(worker, message)

    def _note(self, worker: Worker, message: dict[str, Any]) -> None:
        """Note what counts even when its sender has died since."""
        if message["event"] == "ready":
            worker.name = message.get("worker")
            if worker.name is not None:
                self.run.losses.join(worker.channel)
        elif message["event"] == "recorded":
            self.run.losses.recorded(worker.channel, message["worker"])

    def retire(self, worker: Worker, reason: str) -> None:
        """Replace a worker: another one first, then this one drains."""
        if worker.state == "ready" and not worker.retiring:
            self.run.narrator.info(f"worker {worker.pid} is replaced: {reason}")
            worker.retiring = True
            self.reconcile()

    # The end of a worker.

    def _worker_gone(self, worker: Worker, status: int | None) -> None:
        """Note that a worker has ended; say so unless it was told to."""
        expected = worker.state == "draining" or self.failure is not None
        at_once = self._died_at_once(worker)
        how = f"was {worker.doom}" if worker.doom is not None else describe_exit(status)
        self._hear_last_words(worker)
        if worker.name is not None:
            begun = self.run.scoreboard.marks(worker.slot)
            self.run.losses.add(worker.name, worker.doom or f"its worker {how}", begun)
        self._forget(worker)
        if worker.doom is not None or not expected:
            self.run.narrator.warning(f"worker {worker.pid or '?'} {how}")
        if not expected:
            self._count_death(how, status, at_once=at_once)
        self._changed(self)

    def _died_at_once(self, worker: Worker) -> bool:
        if worker.state == "starting":
            return True
        served = self.run.scoreboard.accepted(worker.slot)
        return time.monotonic() - worker.started < _AT_ONCE and served == 0

    def _count_death(self, how: str, status: int | None, *, at_once: bool) -> None:
        if not at_once:
            self._quick_deaths = 0
            return
        self._wait_longer()
        by_itself = status is not None and os.WIFEXITED(status)
        if not self.promoted and (by_itself or self._quick_deaths > _TRIES):
            self.fail(f"a worker {how} while it started")

    def _hear_last_words(self, worker: Worker) -> None:
        """Read what it has sent before it died: it may have claimed since it said its name."""
        try:
            while messages := worker.channel.receive():
                for message in messages:
                    self._note(worker, message)
        except Closed:
            pass

    def _wait_longer(self) -> None:
        self._quick_deaths += 1
        if self.promoted and self._quick_deaths > _TRIES:
            wait = min(_LONGEST_WAIT, 0.25 * 2.0 ** (self._quick_deaths - _TRIES))
            self._fork_at = time.monotonic() + wait
            self.run.narrator.warning(f"workers die at once: the next is forked in {wait:.1f} s")

    def _forget(self, worker: Worker) -> None:
        self.run.losses.leave(worker.channel)
        if worker.channel.fileno() >= 0:
            self.run.poller.unwatch(worker.channel.fileno())
            worker.channel.close()
        self.workers.remove(worker)
        self.run.scoreboard.clear(worker.slot)
        self.run.slots.discard(worker.slot)
