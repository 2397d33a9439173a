"""A task: a function that can be run here, or sent to a job worker."""

import functools
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from onecopy.execution.background import finish
from onecopy.execution.policy import RetryPolicy
from onecopy.tasks.handle import JobHandle
from onecopy.tasks.options import (
    DeclaredOptions,
    Sending,
    SendingOptions,
    TaskOptions,
    declared,
    sent,
)
from onecopy.tasks.ordering import must_be_callable
from onecopy.tasks.registry import Tasks
from onecopy.tasks.sender import Sender
from onecopy.tasks.signature import Signature
from onecopy.tasks.ways import Call, CallSync, Submit, SubmitSync

if TYPE_CHECKING:
    from onecopy.tasks.registry import Endpoint


class Task[**P, R]:
    """A function registered with `@shared.task`; calling it runs it here.

    P: its parameters. R: its result. Sending it leaves out the parameters that are injected.
    """

    submit = Submit()
    """Submit a job; returns its JobHandle[R] when it is durable.

    Raises ArgumentsInvalid, QueueIsFull, StoreUnavailable, IdempotencyMismatch; with a
    `callback_url` CallbackRefused, WebhooksNotInstalled.
    """
    submit_sync = SubmitSync()
    """`submit` where there is no event loop."""
    call = Call()
    """Run it in a job worker now, with no store, and return its result.

    Raises ArgumentsInvalid, NoWorker, Busy, JobFailed, ResultTimeout.
    """
    adopted = False
    """Whether Celery runs it, and not a job worker."""
    call_sync = CallSync()
    """`call` where there is no event loop."""

    def __init__(
        self, function: Callable[P, Any], name: str, tasks: Tasks, options: DeclaredOptions
    ) -> None:
        """Declare a task; `OneCopy.task` also registers it. Raises DeclarationError."""
        # Its `__call__` has its docstring and name, and `inspect.signature` finds its parameters.
        functools.update_wrapper(self, function)
        self._function = function
        self._tasks = tasks
        self.name = name
        self.source = _source(function)
        """Where the function is written, as "file:line"."""
        self.is_async = _is_async(function)
        self.signature = self._read_signature(function)
        chosen = declared(name, options, is_async=self.is_async)
        if callable(chosen.ordering_key):
            must_be_callable(name, chosen.ordering_key, self.signature)
        self.sender: Sender[R] = Sender(name, self.signature, tasks, chosen, Sending())

    def _read_signature(self, function: Callable[P, Any]) -> Signature:
        return Signature(function, self.name)

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401  see below
        """Run the function here, as it is; what is injected has to be passed."""
        return self._function(*args, **kwargs)

    @property
    def function(self) -> Callable[P, Any]:
        """The function as it was written."""
        return self._function

    if TYPE_CHECKING:

        @property
        def __wrapped__(self) -> Callable[P, Any]: ...

    @property
    def declared(self) -> TaskOptions:
        """Its options."""
        return self.sender.options

    @property
    def policy(self) -> RetryPolicy:
        """When a failed attempt is tried again."""
        return self.declared.policy

    @property
    def timeout(self) -> float | None:
        """Seconds that an attempt may take, unless its job says otherwise."""
        return self.declared.timeout

    @property
    def endpoint(self) -> "Endpoint":
        """A FastAPI endpoint that accepts jobs: `app.post("/geocode")(geocode.endpoint)`."""
        return self._tasks.endpoint(self)

    def options(self, **options: Unpack[SendingOptions]) -> Self:
        """Return this task with options for the jobs that are sent through what is returned.

        Raises DeclarationError for what cannot be had, CallbackRefused for a URL that is none.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        chosen, sending = sent(self.name, self.sender.options, self.sender.sending, options)
        other.sender = Sender(self.name, self.signature, self._tasks, chosen, sending)
        return other

    async def submit_many(
        self, calls: Iterable[tuple[object, ...] | Mapping[str, object]]
    ) -> list[JobHandle[R]]:
        """Submit a job for each tuple of arguments, or mapping of them by name: all or none.

        Raises as `submit`.
        """
        return await self.sender.submit_many(calls)

    def submit_many_sync(
        self, calls: Iterable[tuple[object, ...] | Mapping[str, object]]
    ) -> list[JobHandle[R]]:
        """Return `submit_many` where there is no event loop."""
        return finish(self.submit_many(calls))

    def encode_result(self, value: object) -> str:
        """Return a result as JSON. Raises ResultInvalid."""
        return self.signature.encode_result(value)

    def decode_result(self, text: str) -> R:
        """Return the result of which this is the JSON. Raises ResultInvalid."""
        return self.sender.decode_result(text)


class SyncTask[**P, R](Task[P, R]):
    """A task of a plain function."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Run the function here, as it is; what is injected has to be passed."""
            ...


class AsyncTask[**P, R](Task[P, R]):
    """A task of an `async def`."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            """Run the function here, as it is; what is injected has to be passed."""
            ...


def declare(
    function: Callable[..., Any], name: str | None, tasks: Tasks, options: DeclaredOptions
) -> Task[..., Any]:
    """Make a task of a function and register it.

    Raises DeclarationError, TaskExists, CallbackRefused.
    """
    chosen: str = name or getattr(function, "__name__", type(function).__name__)
    kind = AsyncTask[..., Any] if _is_async(function) else SyncTask[..., Any]
    task = kind(function, chosen, tasks, options)
    tasks.add(task)
    return task


def _is_async(function: Callable[..., object]) -> bool:
    called = inspect.unwrap(function)
    return inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(
        getattr(called, "__call__", None)  # noqa: B004  asks for what a call would run
    )


def _source(function: Callable[..., object]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return repr(function)
    return f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}"
