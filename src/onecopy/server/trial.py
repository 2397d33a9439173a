"""An image on trial: loaded and sealed as for a run, and then used by a child that uses all of it.

It forks no worker, serves nothing, and ends. It is a process of its own, as the image of a run is,
so that nothing is in it but the app, and nothing that the app does to it reaches the command.
"""

import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

from onecopy import heap
from onecopy.server.channel import Channel, Closed
from onecopy.server.children import describe_exit
from onecopy.server.fork_safety import other_threads
from onecopy.server.launch import interpreter_flags
from onecopy.server.narration import Narrator
from onecopy.server.process import die_with
from onecopy.server.settings import Settings

# As for an image: `-c` puts the working folder first on the path.
_TRIAL: Final = (
    "import sys; '' in sys.path and sys.path.remove(''); "
    "from onecopy.server.trial import main; main()"
)


_GRACE: Final = 3.0
"""Seconds that a trial may take to clean up after itself."""


def run_trial(
    app: str, *, app_dir: str, uvicorn: dict[str, Any], lifespan_in_image: bool, debug: bool
) -> Generator[dict[str, Any]]:
    """Load an app in a process of its own, seal it, have all of it used; yield what happens.

    Yields `{"busy": what}` and `{"level", "message"}`, and at the end either `{"event": "tried"}`
    with all that was found or `{"event": "failed", "reason", "traceback"}`. What the app prints
    goes to standard error. Closing the iterator ends the process.

    Args:
        app: import string.
        app_dir: folder put first on the import path.
        uvicorn: arguments of `uvicorn.Config`, without `app`.
        lifespan_in_image: run the lifespan's start-up before the seal.
        debug: report tracebacks whole.
    """
    settings = Settings(
        {
            "app": app,
            "app_dir": os.path.abspath(app_dir),
            "argv": sys.argv,
            "tier": "all",
            "uvicorn": uvicorn,
            "lifespan_in_image": lifespan_in_image,
            "log_level": "info",
            "colors": False,
            "debug": debug,
        }
    )
    channel, pid = _start(settings)
    grace = 0.0
    try:
        for message in _messages(channel):
            if "event" in message:
                grace = _GRACE
                yield message
                return
            yield message
        how = describe_exit(_end(pid, _GRACE))
        pid = None
        yield {"event": "failed", "reason": f"the process that loads {app} {how}", "traceback": ""}
    finally:
        channel.close()
        if pid is not None:
            _end(pid, grace)


def _messages(channel: Channel) -> Iterator[dict[str, Any]]:
    try:
        while True:
            yield from channel.receive()
    except Closed:
        return


def _start(settings: Settings) -> tuple[Channel, int]:
    ours, theirs = Channel.pair()
    child = theirs.detach()
    settings_fd = settings.save()
    os.set_inheritable(child, True)
    numbers = (settings_fd, child, os.getpid())
    command = [sys.executable, *interpreter_flags(), "-c", _TRIAL, *map(str, numbers)]
    to_stderr = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=to_stderr)
    os.close(child)
    os.close(settings_fd)
    return ours, pid


def _end(pid: int, grace: float) -> int:
    """Wait for the end of a trial for so many seconds, then kill it; return its wait status."""
    ends = time.monotonic() + grace
    while time.monotonic() < ends:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    """Entry point; arguments: descriptors of settings and channel, and the pid of the command."""
    from onecopy.app import describe_webhooks
    from onecopy.server.image import START_FAILED, Image, describe_failure

    settings_fd, channel_fd, command = map(int, sys.argv[1:4])
    die_with(command)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is told by the command.
    settings = Settings.load(settings_fd)
    os.close(settings_fd)
    os.set_inheritable(channel_fd, False)
    narrator = Narrator(settings, os.dup(channel_fd))
    channel = Channel(socket.socket(fileno=channel_fd))
    sys.argv = settings.argv
    sys.path.insert(0, settings.app_dir)
    try:
        image = Image(settings, narrator)
        facts = image.load()
        assert image.report is not None
        found = _try(image.report, narrator)
        image.stop()
        channel.send({**facts, **found, "webhooks": describe_webhooks(), "event": "tried"})
    except (Exception, SystemExit) as error:
        traceback, reason = describe_failure(error, debug=settings.debug)
        channel.send({"event": "failed", "reason": reason, "traceback": traceback})
        sys.exit(START_FAILED)


def _try(report: heap.SealReport, narrator: Narrator) -> dict[str, Any]:
    """Return what the seal told, and what it cost a child to use every object."""
    found: dict[str, Any] = {
        "immortal": report.immortal,
        "reason": report.reason,
        "seal_seconds": report.seconds,
        "left_out": [(name, each.objects, each.reason) for name, each in report.left_out.items()],
        "unwalkable": _rows(report.unwalkable),
        "threads": other_threads(),
        "probe": None,
    }
    if report.immortal:
        narrator.busy(f"a forked child uses {report.objects:,} objects")
        with warnings.catch_warnings():
            # Other threads have been named already.
            warnings.simplefilter("ignore", DeprecationWarning)
            probe = heap.probe()
        found["probe"] = {
            "shared_before_bytes": probe.shared_before_bytes,
            "shared_after_bytes": probe.shared_after_bytes,
            "share": probe.share,
            "seconds": probe.seconds,
            "copied": _rows(probe.types),
        }
    return found


def _rows(types: Mapping[str, heap.Tally]) -> list[tuple[str, int, int]]:
    return [(name, tally.objects, tally.bytes) for name, tally in types.items()]
