"""The Celery app that carries jobs: of the broker that ONECOPY_ENGINE names, or the user's own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from onecopy.errors import OptionError

if TYPE_CHECKING:
    from celery import Celery
    from celery.app.task import Task

SCHEME: Final = "celery"
WORKER: Final = "onecopy.celery"
"""What a Celery worker of such an app imports: it loads, seals, and runs jobs."""
DEFAULT_QUEUE: Final = "default"
_BROKERS: Final = frozenset({"redis", "rediss", "amqp", "amqps"})

_REDIS: Final = {"socket_connect_timeout": 3.0, "socket_timeout": 5.0}

type AnyTask = Task[..., Any]

_apps: Final[dict[str, Celery]] = {}
_given: list[Celery] = []


def give(app: Celery) -> None:
    """Have an app of the user's own carry the jobs of this process.

    Raises OptionError if another one does already.
    """
    if _given and app is not _given[0]:
        raise OptionError("celery", "the jobs of one process are carried by one Celery app")
    if not _given:
        _given.append(app)
        _import_in_workers(app)


def given() -> Celery | None:
    """Return the app of the user's own; None if there is none."""
    return _given[0] if _given else None


def app_of(url: str | None) -> Celery:
    """Return the app for a URL such as `celery+redis://localhost`; the user's own, if one is given.

    Raises OptionError if neither names a broker, or Celery is not installed.
    """
    app = given()
    if app is not None:
        return app
    if url is None or not url.startswith(f"{SCHEME}+"):
        raise OptionError("engine", _no_broker(url))
    if url not in _apps:
        _apps[url] = _new_app(url, url.removeprefix(f"{SCHEME}+"))
    return _apps[url]


def _import_in_workers(app: Celery) -> None:
    """Have the workers of an app import what runs jobs; its settings are not looked at yet."""
    from celery import signals

    def add(**_: object) -> None:
        import_module(WORKER)

    signals.import_modules.connect(add, sender=app, weak=False)


def _no_broker(url: str | None) -> str:
    has = (
        "ONECOPY_ENGINE is not set"
        if url is None  # Not the whole URL: a password may be in it.
        else f"ONECOPY_ENGINE, {url.partition('//')[0]!r}, names no broker of Celery's"
    )
    return (
        f"{has}; name one, as in ONECOPY_ENGINE=celery+redis://localhost:6379/0 or "
        "celery+amqp://user:password@localhost/, or give a Celery app: OneCopy(celery=...)"
    )


def _new_app(url: str, broker: str) -> Celery:
    if broker.partition("://")[0] not in _BROKERS:
        raise OptionError("engine", _no_broker(url))
    try:
        from celery import Celery
    except ImportError as error:
        words = f"it needs Celery ({error}): pip install 'onecopy[celery]'"
        raise OptionError("engine", words) from error
    app = Celery("onecopy", broker=broker, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=DEFAULT_QUEUE,
        task_create_missing_queues=True,
        # Before the run: the store knows what becomes of a job, however long it takes.
        task_acks_late=False,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    _import_in_workers(app)
    return app


def queue_of(app: Celery, queue: str) -> str:
    """Return the name that a queue of ours has in Celery."""
    return cast("str", app.conf.task_default_queue) if queue == DEFAULT_QUEUE else queue


def with_patience(connection: Any) -> Any:  # noqa: ANN401  kombu's
    """Return a connection that is not used yet; a Redis that says nothing ends it.

    Redis' client would wait for good. Other brokers' have an end, or heartbeats, of their own.
    """
    if connection.transport.driver_type == "redis":
        for name, seconds in _REDIS.items():
            connection.transport_options.setdefault(name, seconds)
    return connection
