"""The processes below the supervisor, as it sees them: images, workers, the file watcher."""

from __future__ import annotations

import os
import signal
import sys
import time

from onecopy.server.channel import Channel, Closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal

    from onecopy.server.generation import Generation
    from onecopy.server.run import Run
    from onecopy.server.settings import Settings

    type Role = Literal["web", "job"]

# `-c` puts the working folder first on the path, where a file could hide a module of ours.
_START = (
    "import sys; '' in sys.path and sys.path.remove(''); "
    "from onecopy.server.{module} import main; main()"
)
_NOTICE_AFTER = 60.0


class Child:
    """A process and its clock."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid = pid
        """None before it is known, and once the process has ended."""
        self.started = time.monotonic()
        self.kill_at: float | None = None

    def signal(self, number: int) -> None:
        """Send a signal; one whose pid is not known gets none."""
        if self.pid is not None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def kill_if_due(self, now: float) -> float:
        """Kill it when its time is over; return when that will be (monotonic seconds)."""
        if self.kill_at is None:
            return float("inf")
        if now < self.kill_at:
            return self.kill_at
        self.kill_at = None
        self.signal(signal.SIGKILL)
        return float("inf")


def start_watcher(run: Run) -> Child:
    """Start the process that watches files for `--reload`."""
    return Child(_spawn(run.settings, "watcher", [run.settings_fd, os.getpid()]))


class ImageProcess(Child):
    """The process that loads the app, and then forks workers."""

    def __init__(
        self, run: Run, heard: Callable[[dict[str, Any]], None], closed: Callable[[], None]
    ) -> None:
        """Start it; `heard` gets its messages, and `closed` is called when its channel ends."""
        self._run = run
        self._heard = heard
        self._closed = closed
        self._channel, theirs = Channel.pair()
        self._channel.setblocking(False)
        child = theirs.detach()
        console = -1 if run.narrator.console is None else run.narrator.console
        for fd in (child, run.scoreboard_fd, console):
            if fd >= 0:
                os.set_inheritable(fd, True)
        numbers = (run.settings_fd, child, run.scoreboard_fd, console, os.getpid())
        super().__init__(_spawn(run.settings, "image", numbers))
        os.close(child)
        self._fd = self._channel.fileno()
        run.poller.watch(self._fd, self._read)

    def _read(self) -> None:
        try:
            for message in self._channel.receive():
                self._heard(message)
        except Closed:
            self._close()
            self._closed()

    def _close(self) -> None:
        self._run.poller.unwatch(self._fd)
        self._channel.close()

    def fork(self, role: Role, slots: Sequence[int], channels: Sequence[Channel]) -> None:
        """Have it fork a worker for each slot, with the other end of its channel."""
        message = {"command": "fork", "role": role, "slots": slots, "supervisor": os.getpid()}
        try:
            self._channel.send(message, [channel.fileno() for channel in channels])
        except Closed:
            pass  # It is gone: its exit status follows, and these workers' channels end.

    def end(self, *, loaded: bool) -> None:
        """Let it end: it sees its channel close, and runs a lifespan's shutdown."""
        grace = self._run.settings.timeout_graceful_shutdown
        if not loaded and self.pid is not None:
            self.signal(signal.SIGTERM)
            self.kill_at = time.monotonic() + 3
        elif grace is not None:
            self.kill_at = time.monotonic() + grace + 5
        self._close()


def _spawn(settings: Settings, module: str, numbers: Sequence[int]) -> int:
    command = [*settings.python, "-c", _START.format(module=module), *map(str, numbers)]
    return os.posix_spawn(command[0], command, os.environ)


class Worker(Child):
    """A web worker or job worker."""

    def __init__(self, generation: Generation, role: Role, slot: int, channel: Channel) -> None:
        super().__init__()
        self.generation = generation
        self.role: Role = role
        self.slot = slot
        self.channel = channel
        self.state: Literal["starting", "ready", "draining"] = "starting"
        self.retiring = False
        """To be drained as soon as another worker stands in for it."""
        self.notice_at: float | None = None
        """When to say that it does not leave."""
        self.name: str | None = None
        """What a job worker is called in the store."""
        self.doom: str | None = None
        """Why the supervisor has killed it, in words."""

    @property
    def runs(self) -> bool:
        """Whether it has begun to work."""
        return self.pid is not None and self.state != "starting"

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
        self.notice_at = now + _NOTICE_AFTER
        try:
            self.channel.send({"command": "drain" if patient else "stop"})
        except Closed:
            pass  # It is ending already; its exit status follows.

    def channel_closed(self) -> bool:
        """Note that its end of the channel is gone; return whether the process is gone for sure.

        It may have died before it could say its pid, or its status cannot be had. Otherwise the
        status follows; what lives on without its channel is killed.
        """
        if self.pid is None or sys.platform != "linux":
            return True
        if self.state != "draining":
            self.kill_at = time.monotonic() + 5
        return False


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
