"""The process on top: owns the sockets, starts images, replaces what dies, reloads, stops.

It imports nothing of the app and as little as it can of all else: a few megabytes that stay for
as long as the service runs. Its states::

    starting ──all workers ready──> running <──> reloading
        │                              │             │
        └────────── TERM, INT ─────────┴─────────────┴──> stopping ──all gone──> end
"""

from __future__ import annotations

import os
import signal
import sys
import time

from onecopy.server import figures, signals
from onecopy.server.children import describe_exit, start_watcher
from onecopy.server.control_server import ControlServer, socket_names
from onecopy.server.generation import Generation
from onecopy.server.limits import Limits
from onecopy.server.narration import Narrator
from onecopy.server.poller import Poller
from onecopy.server.reloads import Reloads
from onecopy.server.run import START_FAILED, Run
from onecopy.server.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from onecopy.server.children import Child, Worker
    from onecopy.server.control_server import Answer


class Supervisor:
    """Holds the generations and moves between the states above."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._settings = run.settings
        self._limits = Limits(run)
        self._started = time.monotonic()
        self._number = 0
        self._current: Generation | None = None
        self._next: Generation | None = None
        self._old: list[Generation] = []
        self._stopping: int | None = None
        self._reloads = Reloads()
        self._retry_at = float("inf")
        self._failures = 0
        self._watcher: Child | None = None
        self._exit_code: int | None = None

    def serve(self) -> int:
        """Run until told to stop; return the exit code."""
        self._start_next()
        if self._settings.reload is not None:
            self._watcher = start_watcher(self._run)
        while self._exit_code is None:
            self._run.poller.wait(self._tick() - time.monotonic())
        return self._exit_code

    def _tick(self) -> float:
        """Do what is due, and return when to look again (monotonic seconds)."""
        due = [
            time.monotonic() + 3600,
            self._finish_reload(),
            self._limits.check_leaving(self._generations()),
            self._limits.check_jobs(self._workers()),
        ]
        if self._stopping is None:
            due += [g.reconcile() for g in (self._current, self._next) if g is not None]
            due.append(self._limits.check(self._workers()))
            if time.monotonic() >= self._retry_at and self._next is None:
                self._start_next()
            due.append(self._retry_at)
        return min(due)

    def _generations(self) -> list[Generation]:
        return [g for g in (*self._old, self._current, self._next) if g is not None]

    def _workers(self) -> Iterator[Worker]:
        for generation in self._generations():
            yield from generation.workers

    # Generations.

    def _start_next(self) -> None:
        self._retry_at = float("inf")
        self._reloads.begin()
        self._number += 1
        self._next = Generation(self._run, self._number, self._changed)

    def _changed(self, generation: Generation) -> None:
        """React to a change in a generation; called by it."""
        if self._stopping is not None:
            self._stop_further()
        elif generation is self._next:
            if generation.failure is not None:
                self._drop_next(generation)
            elif generation.complete:
                self._promote(generation)
            elif generation.state == "lost":
                generation.fail("the image ended before its workers were ready")
        elif generation is self._current and generation.state == "lost" and self._idle:
            self._run.narrator.warning(
                "the image ended: workers go on serving, a new image is loaded"
            )
            self._start_next()
        self._end_old()

    @property
    def _idle(self) -> bool:
        """Whether no generation is being loaded, or is about to be."""
        return self._next is None and self._retry_at == float("inf")

    def _promote(self, generation: Generation) -> None:
        seconds = self._reloads.succeeded(generation.number)
        generation.promoted = True
        self._failures = 0
        before, self._current, self._next = self._current, generation, None
        if before is None:
            self._tell_started(generation)
        else:
            self._old.append(before)
            for worker in before.workers:
                worker.drain(self._settings, patient=True)
            self._run.narrator.info(
                f"generation {generation.number} serves after {seconds:.1f} s; "
                f"generation {before.number} answers what it has, and leaves"
            )

    def _finish_reload(self) -> float:
        """Tell the outcome once whoever connects now meets the new generation for sure."""
        if not self._reloads.untold:
            return float("inf")
        if any(
            worker.state == "draining" and self._run.scoreboard.accepting(worker.slot)
            for worker in self._workers()
        ):
            return time.monotonic() + 0.005
        self._reloads.tell()
        if self._reloads.take_another():
            self._start_next()
        return float("inf")

    def _drop_next(self, generation: Generation) -> None:
        reason = generation.failure or "unknown"
        self._next = None
        self._old.append(generation)
        if self._current is None:
            self._run.narrator.end_of_start()
            self._run.narrator.error(f"cannot start: {reason}")
            self._stopping = START_FAILED
            self._kill_all()
            return
        self._run.narrator.error(
            f"reload failed: {reason}; generation {self._current.number} goes on serving"
        )
        self._reloads.failed(reason)
        generation.kill_workers()
        generation.end_image()
        if self._reloads.take_another():
            self._start_next()
        elif self._current.state == "lost":
            self._failures += 1
            wait = min(60.0, 2.0**self._failures)
            self._retry_at = time.monotonic() + wait
            self._run.narrator.warning(f"the image is loaded again in {wait:.0f} s")

    def _end_old(self) -> None:
        for generation in list(self._old):
            if not generation.workers and generation.state not in ("ending", "lost"):
                generation.end_image()
            if generation.gone:
                self._old.remove(generation)

    def _tell_started(self, generation: Generation) -> None:
        for line in figures.of_the_start(generation, time.monotonic() - self._started):
            self._run.narrator.info(line)
        queues = ", ".join(self._settings.queues)
        does = f"serves {self._settings.url}" if self._settings.url else f"works on {queues}"
        self._run.narrator.info(f"onecopy {does} (Press CTRL+C to quit)")
        self._run.narrator.end_of_start()

    # Signals and children.

    def on_signal(self, number: int) -> None:
        """React to one signal."""
        if number == signal.SIGCHLD:
            self._reap()
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop(number)
        elif self._stopping is not None:
            pass
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGTTIN:
            self._add_workers(1)
        elif number == signal.SIGTTOU:
            self._add_workers(-1)

    def _add_workers(self, count: int) -> None:
        """Have more or fewer workers: of jobs in a tier of job workers, else of the web."""
        settings = self._settings
        if settings.tier == "worker":
            settings.job_workers = max(1, (settings.job_workers or 1) + count)
        else:
            settings.workers = max(1, settings.workers + count)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._child_ended(pid, status)

    def _child_ended(self, pid: int, status: int) -> None:
        if self._watcher is not None and pid == self._watcher.pid:
            self._watcher_ended(status)
        elif not any(each.child_ended(pid, status) for each in self._generations()):
            self._run.keep_exit(pid, status)

    def _watcher_ended(self, status: int) -> None:
        self._watcher = None
        if self._stopping is None:
            how = describe_exit(status)
            self._run.narrator.error(f"the file watcher {how}: --reload is off")

    # Reload and stop.

    def _reload(self) -> None:
        if self._next is not None:
            self._reloads.ask_for_another()
            return
        self._run.narrator.info("reloading: a new image is loaded")
        self._start_next()

    def _stop(self, number: int) -> None:
        if self._stopping is not None:
            if self._exit_code is None:
                self._stopping = 128 + number
                self._kill_all()
            return
        self._stopping = 0
        self._run.narrator.end_of_start()
        self._run.narrator.info(
            "stopping: workers answer what they have" if self._current is not None else "stopping"
        )
        self._reloads.failed("the service is stopping")
        if self._watcher is not None:
            self._watcher.signal(signal.SIGTERM)
        if self._next is not None:
            self._old.append(self._next)
            self._next.kill_workers()
            self._next.end_image()
            self._next = None
        for worker in self._workers():
            # Ctrl-C is for whoever sits before it and waits; a TERM comes from a deployment,
            # where requests are still under way on idle connections.
            worker.drain(self._settings, patient=number == signal.SIGTERM)
        self._stop_further()

    def _stop_further(self) -> None:
        if self._current is not None:
            self._old.append(self._current)
            self._current = None
        self._end_old()
        if not self._old:
            self._exit_code = self._stopping

    def _kill_all(self) -> None:
        for generation in self._generations():
            generation.kill()
        self._stop_further()

    # Questions over the control socket.

    def answer(self, question: dict[str, Any], answer: Answer) -> None:
        """Answer a question of `onecopy memory` or `onecopy reload`."""
        command = question.get("command")
        if command == "status":
            answer(self._status())
        elif command == "reload":
            self._answer_reload(answer)
        else:
            answer({"error": f"unknown command {command!r}: status, reload"})

    def _answer_reload(self, answer: Answer) -> None:
        if self._stopping is not None:
            answer({"ok": False, "reason": "the service is stopping"})
        elif self._next is not None or self._reloads.untold:
            self._reloads.ask_for_another(answer)
        else:
            self._reloads.wait(answer)
            self._reload()

    def _status(self) -> dict[str, Any]:
        generation = self._current or self._next
        return {
            "supervisor_pid": os.getpid(),
            "generation": generation.number if generation else 0,
            "app": self._settings.app,
            "url": self._settings.url,
            "queues": self._settings.queues,
            "workers": self._settings.workers,
            "one_process_bytes": figures.one_process(generation) if generation else 0,
            "processes": figures.processes(self._generations(), self._started),
            "datasets": generation.facts.get("datasets", []) if generation else [],
        }


def _name_this_process() -> None:
    if sys.platform == "linux":
        with open("/proc/self/comm", "w") as file:
            file.write("onecopy")


def _remove_sockets(settings: Settings) -> None:
    paths = [os.path.join(settings.state_dir, name) for name in socket_names(os.getpid())]
    if settings.uds is not None:
        paths.append(settings.uds)
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass  # Somebody was faster, or the folder is gone.


def main() -> None:
    """Entry point; arguments: descriptors of settings, control socket and console (-1: none), and
    the state folder.

    The folder is in the settings too: it stands on the command line for `onecopy memory`.
    """
    settings_fd, control_fd, console_fd = map(int, sys.argv[1:4])
    _name_this_process()
    settings = Settings.load(settings_fd)
    poller = Poller()
    run = Run(
        settings, settings_fd, poller, Narrator(settings, console_fd if console_fd >= 0 else None)
    )
    supervisor = Supervisor(run)
    signals.watch(poller, supervisor.on_signal)
    ControlServer(control_fd, poller, supervisor.answer)
    try:
        code = supervisor.serve()
    finally:
        _remove_sockets(settings)
    sys.exit(code)
