"""The image: imports the app, loads what workers share, seals it, and then only forks.

It never serves. Event loops run here before the seal only: for async datasets, and for the
lifespan when that is asked for.
"""

import gc
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

from uvicorn import Config

from onecopy import datasets, heap
from onecopy.app import subscriptions_of_all, tasks_of_all, uses_webhooks, webhooks_of_all
from onecopy.errors import OneCopyError, UserCodeError, user_traceback
from onecopy.execution.connect import told_of_places
from onecopy.execution.state import STATE_DIR
from onecopy.server.app_import import import_app
from onecopy.server.channel import Channel, Closed
from onecopy.server.collection import rare_collections
from onecopy.server.fork_safety import other_threads
from onecopy.server.lifespan import ImageLifespan, inherited
from onecopy.server.narration import Narrator, megabytes
from onecopy.server.preload import (
    preload,
    preload_for_jobs,
    preload_for_subscriptions,
    preload_for_webhooks,
)
from onecopy.server.process import die_with, set_name, wait_for_adoption
from onecopy.server.run import START_FAILED
from onecopy.server.scoreboard import Scoreboard
from onecopy.server.settings import Settings
from onecopy.server.web import WebWorker


@dataclass(frozen=True)
class Assignment:
    """What a freshly forked process is told: it is this worker."""

    role: str
    slot: int
    channel: Channel
    supervisor: int
    middle: int


class Image:
    """Everything that workers share."""

    def __init__(self, settings: Settings, narrator: Narrator) -> None:
        self._settings = settings
        self._narrator = narrator
        self._lifespan: ImageLifespan | None = None
        self.report: heap.SealReport | None = None
        """What the seal told, once it is done."""
        self._started = time.perf_counter()
        # Before the import of the app: logging as the app's own start-up expects it, and the
        # variables of --env-file.
        self.config = Config(app=settings.app, **settings.uvicorn)
        self.collecting = gc.isenabled()

    def load(self) -> dict[str, Any]:
        """Import, load, warm and seal; return the facts that the supervisor keeps.

        Raises:
            OneCopyError: one of these failed.
        """
        with rare_collections():
            self._import()
            self._load_datasets()
            self._run_warmers()
            self._start_lifespan()
        self.collecting = gc.isenabled()
        self._warn_of_threads()
        facts = self._seal()
        return {"event": "loaded", **facts}

    def _import(self) -> None:
        began = time.perf_counter()
        self._narrator.busy(f"importing {self._settings.app}")
        self.config.app = import_app(self._settings.app, factory=self.config.factory)
        try:
            self.config.load()
        except SystemExit:
            raise OneCopyError(f"uvicorn cannot load {self._settings.app}, see above") from None
        preload(self.config)
        if tasks_of_all():
            preload_for_jobs()
            preload_for_subscriptions({each.broker for each in subscriptions_of_all()})
            if uses_webhooks() and self._settings.tier != "web":
                preload_for_webhooks()
        self._narrator.info(f"imported {self._settings.app} in {time.perf_counter() - began:.2f} s")
        if tasks_of_all() and (places := told_of_places()):
            self._narrator.info(places)

    def _load_datasets(self) -> None:
        if self._settings.tier == "web":
            datasets.keep_out()
            return
        for dataset in datasets.registered():
            if dataset.loaded:
                continue
            self._narrator.busy(f"loading dataset {dataset.name}")
            dataset.load()
            self._narrator.info(f"loaded dataset {dataset.name} in {dataset.load_seconds:.2f} s")

    def _run_warmers(self) -> None:
        if self._settings.tier == "web":
            return
        for warmer in datasets.warmers():
            began = time.perf_counter()
            self._narrator.busy(f"warming: {warmer.name}")
            warmer()
            self._narrator.info(f"warmed {warmer.name} in {time.perf_counter() - began:.2f} s")

    def _start_lifespan(self) -> None:
        if not self._settings.lifespan_in_image:
            return
        self._narrator.busy("running the lifespan's start-up")
        self._lifespan = ImageLifespan(self.config)
        state = self._lifespan.start()
        self.config.lifespan_class = inherited(state)

    def _warn_of_threads(self) -> None:
        threads = other_threads()
        if threads:
            self._narrator.warning(
                f"{len(threads)} other {'threads are' if len(threads) > 1 else 'thread is'} alive "
                f"in the image and in no worker: {', '.join(threads)}. What a thread does stops at "
                "the fork, and a lock that it holds stays locked: start it in the lifespan."
            )

    def _seal(self) -> dict[str, Any]:
        self._narrator.busy("sealing")
        loaded = [dataset for dataset in datasets.registered() if dataset.loaded]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            report = heap.seal({dataset.name: dataset() for dataset in loaded})
        self.report = report
        gc.disable()  # This process only forks from now on; workers collect as the app had it.
        for dataset in loaded:
            if dataset.name in report.groups:  # A heap that was only frozen is not counted.
                dataset.record(report.groups[dataset.name])
        for warning in said:
            self._narrator.warning(str(warning.message))
        if report.immortal:
            self._narrator.info(
                f"sealed {report.objects:,} objects, {megabytes(report.bytes)}, "
                f"in {report.seconds:.2f} s"
            )
        return {
            "image_bytes": _own_bytes(),
            "tasks": len(tasks_of_all()),
            "sealed_objects": report.objects,
            "sealed_bytes": report.bytes,
            "datasets": [
                {
                    "name": dataset.name,
                    "kind": dataset.kind,
                    "bytes": dataset.bytes,
                    "objects": dataset.objects,
                    "load_seconds": dataset.load_seconds,
                }
                for dataset in loaded
            ],
        }

    def stop(self) -> None:
        """Run the shutdown of a lifespan that was started here."""
        if self._lifespan is not None:
            self._lifespan.stop()


def _own_bytes() -> int:
    found = heap.memory([os.getpid()]).get(os.getpid())
    return found.pss_bytes if found is not None else 0


def serve_forks(channel: Channel) -> Assignment | None:
    """Fork workers as the supervisor asks; return in each of them what it is.

    Returns None in the image itself, when the supervisor closes the channel.
    """
    while True:
        try:
            messages = channel.receive()
        except Closed:
            return None
        for message in messages:
            fds = channel.take_fds(len(message["slots"]))
            channels = [Channel(socket.socket(fileno=fd)) for fd in fds]
            assignment = _fork(channel, message, channels)
            if assignment is not None:
                return assignment
            for other in channels:
                other.close()


def _fork(channel: Channel, message: dict[str, Any], channels: list[Channel]) -> Assignment | None:
    """Fork a middle process that forks the workers and ends, so that the supervisor adopts them.

    They are then its children from the start, and the death of the image changes nothing for them.
    """
    slots: list[int] = message["slots"]
    try:
        middle = _quiet_fork()
    except OSError as error:
        channel.send({"event": "fork-failed", "slots": slots, "reason": str(error)})
        return None
    if middle:
        os.waitpid(middle, 0)
        return None
    middle = os.getpid()
    for index, slot in enumerate(slots):
        try:
            if _quiet_fork() == 0:
                for other in channels[:index] + channels[index + 1 :]:
                    other.close()
                channel.close()
                return Assignment(
                    message["role"], slot, channels[index], message["supervisor"], middle
                )
        except OSError as error:
            channel.send({"event": "fork-failed", "slots": slots[index:], "reason": str(error)})
            break
    os._exit(0)


def _quiet_fork() -> int:
    with warnings.catch_warnings():
        # Other threads have been named in a warning of our own, once.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _work(image: Image, assignment: Assignment, scoreboard: Scoreboard, settings: Settings) -> None:
    wait_for_adoption(assignment.supervisor, assignment.middle)
    set_name(f"onecopy {assignment.role}")
    if image.collecting:
        gc.enable()
    assignment.channel.send({"event": "hello", "pid": os.getpid()})
    slot, channel = assignment.slot, assignment.channel
    if assignment.role == "web":
        WebWorker(image.config, settings, slot, channel, scoreboard).run()
        return
    # Here, because most of it is of no use to web workers of an app without tasks.
    from onecopy.server.job import Agent, JobWorker

    loop_factory = image.config.get_loop_factory()
    tasks, webhooks, subscriptions = tasks_of_all(), webhooks_of_all(), subscriptions_of_all()
    agent = Agent(tasks, webhooks, subscriptions, settings, slot, channel, scoreboard)
    JobWorker(agent, loop_factory).run()


def _refuse(error: BaseException, channel: Channel, *, debug: bool) -> NoReturn:
    """Tell the user and the supervisor why there will be no image, and end."""
    trace, reason = describe_failure(error, debug=debug)
    sys.stderr.write(trace)
    channel.send({"event": "failed", "reason": reason})
    sys.stderr.flush()
    sys.exit(START_FAILED)


def describe_failure(error: BaseException, *, debug: bool) -> tuple[str, str]:
    """Return the traceback that the user is to see, if any, and the reason in a line or two."""
    ours = isinstance(error, OneCopyError)
    reason = str(error) if ours else f"{type(error).__name__}: {error}"
    if debug:
        return "".join(traceback.format_exception(error)), reason
    if isinstance(error, UserCodeError):
        return error.user_traceback, reason
    return "" if ours else user_traceback(error), reason


def _load(settings: Settings, narrator: Narrator, channel: Channel) -> Image:
    try:
        image = Image(settings, narrator)
        facts = image.load()
    except (Exception, SystemExit) as error:
        narrator.leave_console()
        _refuse(error, channel, debug=settings.debug)
    narrator.leave_console()  # Workers are to hold no end of it.
    channel.send(facts)
    return image


def main() -> None:
    """Entry point; arguments: descriptors of settings, channel, scoreboard and console (-1: none),
    and the supervisor's pid.
    """
    settings_fd, channel_fd, scoreboard_fd, console_fd, supervisor = map(int, sys.argv[1:6])
    die_with(supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the supervisor decides.
    set_name("onecopy image")
    settings = Settings.load(settings_fd)
    own = (settings_fd, channel_fd, scoreboard_fd, settings.bell, settings.calls)
    for fd in (*own, settings.distant_calls, *settings.sockets):
        if fd >= 0:
            os.set_inheritable(fd, False)
    os.environ[STATE_DIR] = settings.state_dir
    narrator = Narrator(settings, console_fd if console_fd >= 0 else None)
    sys.argv = settings.argv
    sys.path.insert(0, settings.app_dir)
    scoreboard = Scoreboard(scoreboard_fd)
    channel = Channel(socket.socket(fileno=channel_fd))
    image = _load(settings, narrator, channel)
    assignment = serve_forks(channel)
    if assignment is None:
        image.stop()
    else:
        _work(image, assignment, scoreboard, settings)
