"""OneCopy: what an app writes in its own modules."""

import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack, cast, overload

from onecopy.datasets import Dataset, registry
from onecopy.engines import celery_app, celery_names
from onecopy.errors import TaskExists

if TYPE_CHECKING:
    from celery import Celery
    from celery.app.task import Task as CeleryTask
    from fastapi import FastAPI, params

    from onecopy.execution.ports import Runtime
    from onecopy.http import HttpOptions
    from onecopy.subscriptions import Subscription
    from onecopy.subscriptions.subscription import Key, Where
    from onecopy.tasks import JobHandle, Task, Tasks
    from onecopy.tasks.adopted import AdoptedTask
    from onecopy.tasks.options import DeclaredOptions
    from onecopy.tasks.task import AsyncTask, SyncTask
    from onecopy.webhooks import Webhooks


class OneCopy:
    """The datasets of an app, what warms them, and its tasks.

    Any number of these may exist in a process; the names of datasets are unique in the process,
    those of tasks in one `OneCopy`.
    """

    def __init__(
        self, *, webhooks: "Webhooks | None" = None, celery: "Celery | None" = None
    ) -> None:
        """Take what this app has of its own.

        webhooks: who is told when a job is final; None: what the environment says of webhooks.
        celery: an app of Celery's whose broker and routes are to carry the jobs; None: what
        ONECOPY_ENGINE names carries them.

        Raises OptionError if another Celery app carries the jobs of this process.
        """
        self._webhooks = webhooks
        if celery is not None:
            celery_app.give(celery)
        celery_names.install()
        self._tasks: Tasks | None = None
        self._subscriptions: list[Subscription] = []
        self._http: HttpOptions | None = None
        self._runtime: Callable[[], Awaitable[Runtime]] | None = None
        _all.append(self)

    @property
    def tasks(self) -> "Tasks":
        """The tasks, by name."""
        if self._tasks is None:
            # Here, because a program without tasks need not import pydantic.
            from onecopy.tasks import Tasks
            from onecopy.webhooks.callbacks import Callbacks

            self._tasks = Tasks(self._open_runtime, self._endpoint, Callbacks(self._webhooks))
        return self._tasks

    @property
    def celery(self) -> "Celery":
        """The app of Celery's that carries the jobs: for `celery -A app:shared.celery worker`.

        Raises OptionError if ONECOPY_ENGINE names no broker of Celery's, or it is not installed.
        """
        return celery_app.app_of(os.environ.get("ONECOPY_ENGINE"))

    # Of a function that fits both, the first is meant.
    @overload
    def task[**P, R](  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> "AsyncTask[P, R]": ...
    @overload
    def task[**P, R](self, function: Callable[P, R], /) -> "SyncTask[P, R]": ...
    @overload
    def task(
        self, /, *, name: str | None = None, **options: "Unpack[DeclaredOptions]"
    ) -> "_Declared": ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        **options: "Unpack[DeclaredOptions]",
    ) -> "Task[..., Any] | _Declared":
        """Make a task of a function, sync or async.

        Used bare (`@shared.task`) or with options (`@shared.task(retries=3, timeout=300)`); see
        `onecopy.tasks.options.DeclaredOptions`. The task is named by the function, or by `name`.

        Raises DeclarationError if a parameter or the result cannot travel as JSON, or an option
        cannot be had; TaskExists if another task has the name; CallbackRefused for callbacks.
        """
        declared = _Declared(self.tasks, name, options)
        return declared if function is None else declared(function)

    def adopt(self, task: "CeleryTask[..., Any]", /) -> "Task[..., Any]":
        """Give a task of Celery's own the routes, the states and the events of jobs.

        What is returned sends jobs of it, and has an endpoint. The task stays as it is, and is run
        by the workers of its app. The hints of its signature check arguments, where it has some.

        Raises DeclarationError if a parameter cannot travel as JSON, TaskExists, and OptionError if
        another Celery app carries the jobs of this process.
        """
        from onecopy.tasks.adopted import AdoptedTask

        celery_app.give(task.app)
        adopted = AdoptedTask(task, self.tasks)
        self.tasks.add(adopted)
        return adopted

    @property
    def webhooks(self) -> "Webhooks | None":
        """What it was told of webhooks."""
        return self._webhooks

    def declared_tasks(self) -> "list[Task[..., Any]]":
        """Return the tasks that were declared; looking does not import what tasks need."""
        return [] if self._tasks is None else list(self._tasks)

    async def job(self, job: str) -> "JobHandle[Any]":
        """Return a job by its id. Raises JobNotFound, StoreUnavailable."""
        from onecopy.tasks.handle import JobHandle, as_json

        found = await self.tasks.job(job)
        task = self.tasks.get(found.task)
        return JobHandle(job, self.tasks, as_json if task is None else task.decode_result)

    def subscribe(
        self,
        source: str,
        task: "Task[..., Any]",
        *,
        where: "Where | None" = None,
        key: "Key | None" = None,
        url: str | None = None,
    ) -> None:
        """Have messages that others send become jobs of a task, one for each.

        A message is a CloudEvent, structured or binary, or plain JSON; its data are an object of
        the task's parameters by name. One that does not fit goes to the dead letters, with the
        reason. Job workers take them.

        source: `rabbitmq:orders`, a queue; `kafka:orders`, a topic. where: is given the data, and
        says whether they are of interest; other messages are passed over. key: is given the data,
        and returns what tells a message that comes again; left out, it is its id (of RabbitMQ's
        messages or the CloudEvent, with its source), or topic, partition and offset. url: of the
        broker; left out, that of ONECOPY_RABBITMQ or ONECOPY_KAFKA, or the engine's.

        Raises DeclarationError for a source that is none.
        """
        from onecopy.subscriptions import Subscription

        self._subscriptions.append(Subscription.of(source, task, where, key, url))

    @property
    def subscriptions(self) -> "Sequence[Subscription]":
        """What it was told to subscribe to."""
        return self._subscriptions

    def install(
        self,
        app: "FastAPI",
        *,
        prefix: str = "/jobs",
        dependencies: "Sequence[params.Depends]" = (),
        body_limit: int = 10 * 1024 * 1024,
        longest_wait: float = 60.0,
        origins: Sequence[str] = (),
    ) -> None:
        """Give an app the routes of jobs, and describe the tasks' endpoints in its OpenAPI.

        prefix: of the routes. dependencies: the app's own checks, in front of them. body_limit:
        bytes that the body of a request for a job may have. longest_wait: seconds that
        `Prefer: wait` is obeyed for. origins: of pages that may open WebSockets, as in
        `["https://app.example.com"]`, besides those of the same host.
        """
        from onecopy import http

        self._http = http.HttpOptions(
            prefix=prefix, body_limit=body_limit, longest_wait=longest_wait, origins=tuple(origins)
        )
        http.install(app, self.tasks, self._http, dependencies)

    def use_runtime(
        self, source: "Callable[[], Awaitable[Runtime]] | None"
    ) -> "Callable[[], Awaitable[Runtime]] | None":
        """Send jobs through another runtime, and return what gave the one before.

        source: called for each sending; returns a runtime that is open in the running event loop.
        """
        before, self._runtime = self._runtime, source
        return before

    async def _open_runtime(self) -> "Runtime":
        if self._runtime is not None:
            return await self._runtime()
        # Here, because a program that sends no jobs needs no store.
        from onecopy.execution.connect import runtime_here

        return await runtime_here()

    def _endpoint(self, task: "Task[..., Any]") -> Callable[..., Any]:
        from onecopy import http

        return http.endpoint(task, self.tasks, lambda: self._http or http.HttpOptions())

    @overload
    def dataset[T](self, loader: Callable[[], Coroutine[Any, Any, T]], /) -> Dataset[T]: ...
    @overload
    def dataset[T](self, loader: Callable[[], T], /) -> Dataset[T]: ...
    @overload
    def dataset(self, /, *, name: str | None = None) -> "_Named": ...

    def dataset(
        self, loader: Callable[[], Any] | None = None, /, *, name: str | None = None
    ) -> "Dataset[Any] | _Named":
        """Make a dataset of a function that loads data, sync or async.

        Used bare (`@shared.dataset`) the dataset is named by the function, else by
        `@shared.dataset(name="...")`.

        Raises DatasetExists if the name is taken, DatasetDefinitionError if the function cannot be
        called without arguments.
        """
        return _Named(name) if loader is None else _Named(name)(loader)

    def warm[F: Callable[[], object]](self, function: F, /) -> F:
        """Have the image run a function before it seals, and return it unchanged.

        Typical look-ups belong here: the caches that they fill are then filled once and shared.
        The function is called with no arguments and may be async.
        """
        registry.add_warmer(function)
        return function


_all: Final[list[OneCopy]] = []


def tasks_of_all() -> "dict[str, Task[..., Any]]":
    """Return the tasks that job workers run, of every `OneCopy` of this process, by name.

    Raises TaskExists.
    """
    return {name: task for name, task in _declared().items() if not task.adopted}


def adopted_of_all() -> "dict[str, AdoptedTask]":
    """Return the adopted tasks, which Celery runs, by name. Raises TaskExists."""
    adopted = {name: task for name, task in _declared().items() if task.adopted}
    return cast("dict[str, AdoptedTask]", adopted)


def _declared() -> "dict[str, Task[..., Any]]":
    found: dict[str, Task[..., Any]] = {}
    for shared in _all:
        for task in shared.declared_tasks():
            known = found.setdefault(task.name, task)
            if known is not task and known.source != task.source:
                raise TaskExists(task.name, known.source, task.source)
    return found


def subscriptions_of_all() -> "list[Subscription]":
    """Return what every `OneCopy` of this process subscribes to."""
    return [each for shared in _all for each in shared.subscriptions]


def webhooks_of_all() -> "Webhooks":
    """Return what signs and bounds the webhooks of this process.

    Raises OptionError: something in the environment cannot be had, or not all say the same.
    """
    from onecopy.webhooks.config import Webhooks, agreed

    return agreed([each.webhooks for each in _all if each.webhooks is not None]) or Webhooks()


def uses_webhooks() -> bool:
    """Whether this process is sure to have webhooks: any job may ask for one."""
    return (
        any(shared.webhooks is not None for shared in _all)
        or bool(webhooks_of_all().secrets)
        or any(task.declared.callbacks for task in tasks_of_all().values())
    )


def describe_webhooks() -> dict[str, Any]:
    """Return what there is to know of this process's webhooks.

    used: whether it is sure to have some. unsigned: hosts that are told with no secret to sign it.
    allow: networks that may be called though they are private.
    """
    from onecopy.webhooks.urls import read_url

    config = webhooks_of_all()
    urls = [each.url for each in config.endpoints if not each.secrets]
    urls += [url for task in tasks_of_all().values() for url in task.declared.callbacks]
    own = {each.url for each in config.endpoints if each.secrets}
    hosts = {read_url(url).host for url in urls if not config.secrets and url not in own}
    allow = [str(network) for network in config.allow]
    return {"used": uses_webhooks(), "unsigned": sorted(hosts), "allow": allow}


class _Declared:
    """What `@shared.task(...)` leaves for the function below it."""

    def __init__(self, tasks: "Tasks", name: str | None, options: "DeclaredOptions") -> None:
        self._tasks: Final = tasks
        self._name = name
        self._options = options

    # Of a function that fits both, the first is meant.
    @overload
    def __call__[**P, R](  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> "AsyncTask[P, R]": ...
    @overload
    def __call__[**P, R](self, function: Callable[P, R], /) -> "SyncTask[P, R]": ...

    def __call__(self, function: Callable[..., Any], /) -> "Task[..., Any]":
        from onecopy.tasks.task import declare

        return declare(function, self._name, self._tasks, self._options)


class _Named:
    """What `@shared.dataset(name="...")` leaves for the function below it."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    @overload
    def __call__[T](self, loader: Callable[[], Coroutine[Any, Any, T]], /) -> Dataset[T]: ...
    @overload
    def __call__[T](self, loader: Callable[[], T], /) -> Dataset[T]: ...

    def __call__(self, loader: Callable[[], Any], /) -> Dataset[Any]:
        name = self._name or getattr(loader, "__name__", type(loader).__name__)
        dataset = Dataset[Any](loader, name)
        registry.add_dataset(dataset)
        return dataset
