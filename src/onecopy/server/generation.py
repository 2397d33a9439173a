"""A generation: one image and the web workers forked from it."""

from __future__ import annotations

import os
import signal
import sys
import time

from onecopy.server.channel import Channel, Closed
from onecopy.server.losses import Losses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    type Role = Literal["web", "job"]

    from onecopy.server.narration import Narrator
    from onecopy.server.poller import Poller
    from onecopy.server.scoreboard import Scoreboard
    from onecopy.server.settings import Settings

# `-c` puts the working folder first on the path, where a file could hide a module of ours.
_IMAGE = (
    "import sys; '' in sys.path and sys.path.remove(''); "
    "from onecopy.server.image import main; main()"
)
_TRIES = 3
"""Workers that may die at once, one after the other, before the next has to wait."""
_LONGEST_WAIT = 10.0
_UNKNOWN = 64
"""Exits of unknown children that are kept; most are of processes that an app left behind."""


_ROLES: tuple[Role, ...] = ("web", "job")


class Run:
    """What supervisor and generations have in common during one run."""

    def __init__(
        self, settings: Settings, settings_fd: int, poller: Poller, narrator: Narrator
    ) -> None:
        from onecopy.server import scoreboard

        self.settings = settings
        self.settings_fd = settings_fd
        self.poller = poller
        self.narrator = narrator
        self.scoreboard_fd = scoreboard.create()
        self.scoreboard: Scoreboard = scoreboard.Scoreboard(self.scoreboard_fd)
        self.slots: set[int] = set()
        self.unknown_exits: dict[int, int] = {}
        """Wait statuses of children that had not said yet which worker they are, by pid."""
        self.losses = Losses()

    def keep_exit(self, pid: int, status: int) -> None:
        """Keep the status of a child that nobody knows: its first message may be on its way."""
        self.unknown_exits[pid] = status
        if len(self.unknown_exits) > _UNKNOWN:
            del self.unknown_exits[next(iter(self.unknown_exits))]


class Worker:
    """A web worker or job worker, as the supervisor sees it."""

    def __init__(self, generation: Generation, role: Role, slot: int, channel: Channel) -> None:
        self.generation = generation
        self.role: Role = role
        self.slot = slot
        self.channel = channel
        self.pid: int | None = None
        self.state: Literal["starting", "ready", "draining"] = "starting"
        self.retiring = False
        """To be drained as soon as another worker stands in for it."""
        self.started = time.monotonic()
        self.kill_at: float | None = None
        self.notice_at: float | None = None
        self.name: str | None = None
        """What a job worker is called in the store."""
        self.doom: str | None = None
        """Why the supervisor has killed it, in words."""

    def signal(self, number: int) -> None:
        """Send a signal; a worker that has not said its pid yet gets none."""
        if self.pid is not None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def drain(self, settings: Settings, *, patient: bool) -> None:
        """Let it answer what it has, and leave.

        patient: also wait for idle keep-alive connections, so that no request that is under
            way on one of them is lost.
        """
        if self.state == "draining":
            return
        self.state = "draining"
        now = time.monotonic()
        if settings.timeout_graceful_shutdown is not None:
            grace = settings.timeout_keep_alive + 1 if patient else 0
            self.kill_at = now + grace + settings.timeout_graceful_shutdown + 5
        self.notice_at = now + 60
        try:
            self.channel.send({"command": "drain" if patient else "stop"})
        except Closed:
            pass  # It is ending already; its exit status follows.


class Generation:
    """Starts an image, has it fork workers, and keeps as many as are wanted."""

    def __init__(self, run: Run, number: int, changed: Callable[[Generation], None]) -> None:
        self.run = run
        self.number = number
        self.workers: list[Worker] = []
        self.started = time.monotonic()
        self.state: Literal["loading", "loaded", "failed", "lost", "ending"] = "loading"
        self.failure: str | None = None
        self.promoted = False
        """Whether it serves, or has served."""
        self.facts: dict[str, Any] = {}
        """What the image said of itself: its bytes, its datasets."""
        self._changed = changed
        self._quick_deaths = 0
        self._fork_at = 0.0
        self.kill_image_at: float | None = None
        self.image_started = time.monotonic()
        self._channel, self.image_pid = self._start_image()
        self._fd = self._channel.fileno()
        run.poller.watch(self._fd, self._read_image)

    # The image.

    def _start_image(self) -> tuple[Channel, int | None]:
        ours, theirs = Channel.pair()
        ours.setblocking(False)
        settings = self.run.settings
        child = theirs.detach()
        os.set_inheritable(child, True)
        os.set_inheritable(self.run.scoreboard_fd, True)
        console = self.run.narrator.console
        if console is not None:
            os.set_inheritable(console, True)
        numbers = (
            self.run.settings_fd,
            child,
            self.run.scoreboard_fd,
            -1 if console is None else console,
            os.getpid(),
        )
        command = [*settings.python, "-c", _IMAGE, *map(str, numbers)]
        pid = os.posix_spawn(command[0], command, os.environ)
        os.close(child)
        return ours, pid

    def _read_image(self) -> None:
        try:
            for message in self._channel.receive():
                self._from_image(message)
        except Closed:
            self.run.poller.unwatch(self._fd)
            self._channel.close()
            if sys.platform != "linux":
                self.image_gone(None)

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

    def image_gone(self, status: int | None) -> None:
        """Note that the image has ended, by its own will or not."""
        self.image_pid = None
        if self.state == "loading":
            self.fail(f"the image {describe_exit(status)} while it loaded the app")
        elif self.state == "loaded":
            self.state = "lost"
        self._changed(self)

    def fail(self, reason: str) -> None:
        """Note the first reason why this generation will not serve."""
        if self.failure is None:
            self.failure = reason
            self.state = "failed"
            self._changed(self)

    def end_image(self) -> None:
        """Let the image end: it sees its channel close, and runs a lifespan's shutdown."""
        if not self.facts and self.image_pid is not None:
            _kill(self.image_pid, signal.SIGTERM)
            self.kill_image_at = time.monotonic() + 3
        elif self.run.settings.timeout_graceful_shutdown is not None:
            self.kill_image_at = time.monotonic() + self.run.settings.timeout_graceful_shutdown + 5
        self.state = "ending"
        self.run.poller.unwatch(self._fd)
        self._channel.close()

    def kill(self) -> None:
        """End everything of this generation at once."""
        if self.image_pid is not None:
            _kill(self.image_pid, signal.SIGKILL)
        for worker in self.workers:
            worker.signal(signal.SIGKILL)

    @property
    def gone(self) -> bool:
        """Whether no process of it is left."""
        return not self.workers and self.image_pid is None

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
        for _ in range(min(count, 64)):
            slot = self.run.scoreboard.take_slot(self.run.slots)
            self.run.slots.add(slot)
            ours, other = Channel.pair()
            ours.setblocking(False)
            worker = Worker(self, role, slot, ours)
            self.workers.append(worker)
            self.run.poller.watch(ours.fileno(), lambda worker=worker: self._read_worker(worker))
            theirs.append(other)
            slots.append(slot)
        try:
            self._channel.send(
                {"command": "fork", "role": role, "slots": slots, "supervisor": os.getpid()},
                [channel.fileno() for channel in theirs],
            )
        except Closed:
            pass  # The image is gone: its exit status follows, and these workers' channels end.
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
            if worker.pid is None or sys.platform != "linux":
                # It died before it could say its pid, or its status cannot be had.
                self.worker_gone(worker, None)
            elif worker.state != "draining":
                worker.kill_at = time.monotonic() + 5

    def _from_worker(self, worker: Worker, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "hello":
            worker.pid = message["pid"]
            if worker.pid in self.run.unknown_exits:
                self.worker_gone(worker, self.run.unknown_exits.pop(worker.pid))
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

    def worker_gone(self, worker: Worker, status: int | None) -> None:
        """Note that a worker has ended; say so unless it was told to."""
        expected = worker.state == "draining" or self.failure is not None
        at_once = worker.state == "starting" or (
            time.monotonic() - worker.started < 1 and self.run.scoreboard.accepted(worker.slot) == 0
        )
        self._hear_last_words(worker)
        self._forget(worker)
        how = f"was {worker.doom}" if worker.doom is not None else describe_exit(status)
        if worker.name is not None:
            self.run.losses.add(worker.name, worker.doom or f"its worker {how}")
        if worker.doom is not None or not expected:
            self.run.narrator.warning(f"worker {worker.pid or '?'} {how}")
        if expected:
            self._changed(self)
            return
        if at_once:
            self._wait_longer()
            by_itself = status is not None and os.WIFEXITED(status)
            if not self.promoted and (by_itself or self._quick_deaths > _TRIES):
                self.fail(f"a worker {how} while it started")
        else:
            self._quick_deaths = 0
        self._changed(self)

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


def describe_exit(status: int | None) -> str:
    """Say in words how a process ended, from its wait status."""
    if status is None:
        return "ended"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ": out of memory, or killed by hand" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
