"""Celery's main process: what is done there before the first child is forked, and while they live.

It has no thread of ours. What waits for a store or a network does so in the keeper, which this
process starts, starts again should it end, and tells what it sees: children that come, and why
others have ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from celery import bootsteps, signals

from onecopy.app import adopted_of_all, tasks_of_all, uses_webhooks, webhooks_of_all
from onecopy.celery import child, consumer, keeper
from onecopy.celery.adopted import Adopted
from onecopy.celery.task import register
from onecopy.engines.celery_app import DEFAULT_QUEUE
from onecopy.errors import OneCopyError
from onecopy.execution.connect import new_runtime
from onecopy.execution.identity import WorkerName
from onecopy.server.channel import Channel, Closed
from onecopy.server.children import describe_exit
from onecopy.server.collection import rare_collections
from onecopy.server.losses import Losses
from onecopy.server.master import Master
from onecopy.server.preload import preload_for_jobs, preload_for_webhooks
from onecopy.server.scoreboard import Scoreboard, create
from onecopy.stores import Unavailable

if TYPE_CHECKING:
    from celery import Celery

_LOOK_EVERY: Final = 0.5
_LAST_MOMENTS: Final = 8.0
_RETRY: Final = 1.0
_logger = logging.getLogger("celery.onecopy")

_parent: Parent | None = None


def install() -> None:
    """Have the Celery worker of this process, if it is one, do what `Parent` does."""
    signals.celeryd_init.connect(_on_init, weak=False)
    signals.celeryd_after_setup.connect(_on_set_up, weak=False)
    signals.worker_process_init.connect(_on_child, weak=False)
    signals.worker_process_shutdown.connect(_on_child_ends, weak=False)
    signals.task_revoked.connect(_on_revoked, weak=False)
    signals.worker_shutdown.connect(_on_shutdown, weak=False)


def _on_init(instance: Any, **_: object) -> None:  # noqa: ANN401  Celery's
    global _parent
    _parent = Parent(instance)


def _on_set_up(**_: object) -> None:
    if _parent is not None:
        _parent.set_up()


def _on_child(**_: object) -> None:
    if _parent is not None:
        try:
            _parent.begin_child()
        except Exception:
            # Celery would go on, with a child that passes over whatever it is given.
            _logger.exception("a child cannot run jobs: it ends")
            time.sleep(_RETRY)
            os._exit(1)


def _on_child_ends(**_: object) -> None:
    child.end()


def _on_revoked(request: Any, **_: object) -> None:  # noqa: ANN401  Celery's
    if _parent is not None:
        _parent.tell_of_revoked(request)


def _on_shutdown(**_: object) -> None:
    if _parent is not None:
        _parent.stop()


class _Step(bootsteps.StartStopStep):
    """Told before each start of Celery's event loop: once for each connection to the broker."""

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:  # noqa: ANN401  Celery's
        del worker
        if _parent is not None:
            # Once the loop runs: the pool puts its own handlers into place meanwhile.
            hub.call_soon(_parent.watch)


class Parent:
    """A Celery worker's main process."""

    def __init__(self, worker: Any) -> None:  # noqa: ANN401  Celery's
        self._worker = worker
        self._app: Celery = worker.app
        self._pid = os.getpid()
        self._tasks = tasks_of_all()
        self._adopted = adopted_of_all()
        self._slots: dict[int, int] = {}
        """Of the children, by their pids."""
        self._names: dict[int, str] = {}
        self._losses = Losses()
        self._keeper: int | None = None
        self._channel: Channel | None = None
        self._stopping = False
        self._timer: Any = None
        try:
            queues = register(self._app, self._tasks)
        except OneCopyError as error:
            raise SystemExit(f"onecopy: {error}") from None
        consumer.install(self._app)
        self._app.steps["worker"].add(_Step)
        known = cast("Any", self._app.amqp).queues
        for queue in queues:
            # All queues that the tasks have; -Q, which comes after this, chooses others.
            known.select_add(known[queue])

    # Before the first child.

    def set_up(self) -> None:
        """Load, seal, and start the keeper."""
        if not self._has_jobs():
            return
        self._must_fork()
        try:
            new_runtime()
        except (OneCopyError, Unavailable) as error:
            raise SystemExit(f"onecopy: {error}") from None
        master = Master("the signal worker_process_init")
        with rare_collections():
            if not master.load(_logger):
                raise SystemExit(1)
        preload_for_jobs()
        if uses_webhooks():
            preload_for_webhooks()
        self._scoreboard = Scoreboard(create())
        self._duties = keeper.Duties(
            {**self._tasks, **self._adopted},
            self._queues(),
            webhooks_of_all(),
            self._scoreboard,
        )
        master.seal(_logger)
        self._start_keeper()

    def _has_jobs(self) -> bool:
        return bool(self._tasks or self._adopted)

    def _must_fork(self) -> None:
        from celery.concurrency.prefork import TaskPool

        if not issubclass(self._worker.pool_cls, TaskPool):
            raise SystemExit(
                "onecopy: tasks of onecopy run in Celery's prefork pool: leave -P out. "
                "Time limits, cancelling and one copy of the data need processes."
            )

    def _queues(self) -> list[str]:
        amqp = cast("Any", self._app.amqp)
        default = amqp.default_queue.name
        return [DEFAULT_QUEUE if each == default else each for each in amqp.queues.consume_from]

    # The keeper.

    def _start_keeper(self) -> None:
        self._keeper, channel = keeper.fork(self._duties)
        channel.setblocking(False)
        self._channel = channel
        for pid, name in self._names.items():
            self._tell({"command": "child", "worker": name, "slot": self._slots[pid]})
        self._losses.join(channel)
        if self._slots:
            self._worker.hub.add_reader(channel.fileno(), self._read)

    def _look_after_keeper(self) -> None:
        if self._keeper is None:
            return
        ended, status = os.waitpid(self._keeper, os.WNOHANG)
        if not ended:
            return
        how = os.waitstatus_to_exitcode(status)
        _logger.error("the keeper (pid %s) has ended (%s): another one is started", ended, how)
        self._leave_keeper()
        self._start_keeper()

    def _leave_keeper(self) -> None:
        channel, self._channel, self._keeper = self._channel, None, None
        if channel is not None:
            self._worker.hub.remove_reader(channel.fileno())
            self._losses.leave(channel)
            channel.close()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            with contextlib.suppress(Closed):  # It is ending, and is started again.
                self._channel.send(message)

    def _read(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            for message in channel.receive():
                self._losses.recorded(channel, message["worker"])
        except Closed:
            self._worker.hub.remove_reader(channel.fileno())

    # The children.

    def watch(self) -> None:
        """Called once the event loop of Celery runs, and the pool with it; or as it is closed.

        With each new connection to the broker, Celery forgets all readers and makes the pool's
        handlers anew.
        """
        if self._keeper is None or self._worker.pool is None:
            return  # No jobs, or the worker ends before its start is over.
        pool: Any = self._worker.pool._pool  # Celery has no other name for it
        hub = self._worker.hub
        for process in pool._pool:
            self._came(process)
        pool.on_process_up = _after(pool.on_process_up, self._came)
        pool.on_process_down = _before(pool.on_process_down, self._gone)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.call_repeatedly(_LOOK_EVERY, self._look)
        if self._channel is not None:
            hub.add_reader(self._channel.fileno(), self._read)

    def _came(self, process: Any) -> None:  # noqa: ANN401  billiard's
        if process.pid in self._slots:
            return
        pid, slot = process.pid, process.index + 1
        self._slots[pid] = slot
        self._names[pid] = str(WorkerName.of_child(pid))
        self._tell({"command": "child", "worker": self._names[pid], "slot": slot})

    def _gone(self, process: Any) -> None:  # noqa: ANN401  billiard's
        name = self._names.pop(process.pid, None)
        if name is None:
            return
        slot = self._slots.pop(process.pid)
        self._losses.add(name, _end_in_words(process.exitcode), self._scoreboard.marks(slot))
        self._scoreboard.clear(slot)

    def _look(self) -> None:
        if not self._stopping:
            self._look_after_keeper()

    def begin_child(self) -> None:
        """Called in a child of the pool, right after its fork."""
        if not self._has_jobs():
            return
        if self._channel is not None:
            self._channel.close()
        from billiard.process import current_process

        slot = cast("Any", current_process()).index + 1
        begun = child.begin(self._tasks, self._scoreboard, slot)
        if self._adopted:
            Adopted(self._app, self._adopted, begun)

    def tell_of_revoked(self, request: Any) -> None:  # noqa: ANN401  Celery's
        """Cancel the job of a message that Celery was told not to run."""
        if request.task in self._duties.tasks:
            self._tell({"command": "cancel", "job": request.id})

    # The end.

    def stop(self) -> None:
        """Let the keeper end; the pool has."""
        if self._stopping or self._keeper is None or os.getpid() != self._pid:
            return
        self._stopping = True
        self._tell({"command": "stop"})
        ends = time.monotonic() + _LAST_MOMENTS
        while os.waitpid(self._keeper, os.WNOHANG) == (0, 0):
            if time.monotonic() > ends:
                os.kill(self._keeper, signal.SIGKILL)
                os.waitpid(self._keeper, 0)
                break
            time.sleep(0.01)
        self._keeper = None


def _after(first: Callable[[Any], None], then: Callable[[Any], None]) -> Callable[[Any], None]:
    def both(process: Any) -> None:  # noqa: ANN401  billiard's
        first(process)
        then(process)

    return both


def _before(then: Callable[[Any], None], first: Callable[[Any], None]) -> Callable[[Any], None]:
    return _after(first, then)


def _end_in_words(code: int | None) -> str:
    """How a child has ended, of which billiard knows the code: a negative one is of a signal."""
    status = None if code is None else -code if code < 0 else code << 8
    return f"its worker {describe_exit(status)}"
