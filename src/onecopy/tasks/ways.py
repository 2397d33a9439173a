"""The types of `submit`, `submit_sync`, `call` and `call_sync`, for editors and type checkers.

Each takes what the function takes, without the parameters that are injected. A type cannot be told
to leave one out in the middle, so there are cases, tried in this order:

- the first or the last parameter takes anything: it is none of ours, and nothing is left out;
- `(progress: Progress, rows: ...)`: the first is left out, the rest keeps its names;
- `(rows: ..., progress: Progress = Progress())`: it has a default, so it may be left out;
- `(rows: ..., progress: Progress)`: the last is left out. By position all is checked; by name all
  is allowed, because no type can say it, and checked when it is sent;
- nothing is injected.

`JobContext` is treated as `Progress`; where there are both, the last two are left out.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, final, overload

from onecopy.tasks.context import JobContext
from onecopy.tasks.progress import Progress

if TYPE_CHECKING:
    from onecopy.tasks.handle import JobHandle
    from onecopy.tasks.task import Task

type Later[T] = Coroutine[Any, Any, T]


class Injected(Progress, JobContext):
    """What either kind of injected parameter takes."""


@final
class Anything:
    """What only a parameter takes that takes anything."""


class ByPlace[A, *Ts](Protocol):
    """Called by position, checked; or all by name, not checked."""

    @overload
    def __call__(self, *args: *Ts) -> A: ...
    @overload
    def __call__(self, **arguments: Any) -> A: ...  # noqa: ANN401  no type can say more


class _Returns[R](Protocol):
    def decode_result(self, text: str) -> R: ...


class _Whole[**P, R](_Returns[R], Protocol):
    @property
    def function(self) -> Callable[P, Any]: ...


class FirstIsAny[**P, R](_Whole[P, R], Protocol):
    """A task whose first parameter takes anything."""

    @property
    def __wrapped__(self) -> Callable[Concatenate[Anything, ...], Any]: ...


class First[**P, R](_Returns[R], Protocol):
    """A task whose first parameter is injected."""

    @property
    def function(self) -> Callable[Concatenate[Injected, P], Any]:
        """Its function."""
        ...


class LastIsAny[**P, R, *Ts](_Whole[P, R], Protocol):
    """A task whose last parameter takes anything."""

    @property
    def __wrapped__(self) -> Callable[[*Ts, Anything], Any]: ...


class LastIsOptional[**P, R, *Ts](_Whole[P, R], Protocol):
    """A task whose last parameter is injected and has a default."""

    @property
    def __wrapped__(self) -> Callable[[*Ts, Injected], Any]: ...
    def __call__(self, *args: *Ts) -> Any:  # noqa: ANN401
        """Be called without it."""
        ...


class LastTwo[R, *Ts](_Returns[R], Protocol):
    """A task whose last two parameters are injected."""

    @property
    def function(self) -> Callable[[*Ts, Injected, Injected], Any]:
        """Its function."""
        ...


class Last[R, *Ts](_Returns[R], Protocol):
    """A task whose last parameter is injected."""

    @property
    def function(self) -> Callable[[*Ts, Injected], Any]:
        """Its function."""
        ...


class Submit:
    """Submits a job; returns when it is durable."""

    @overload
    def __get__[**P, R](
        self, task: "FirstIsAny[P, R]", owner: type
    ) -> "Callable[P, Later[JobHandle[R]]]": ...
    @overload
    def __get__[**P, R](
        self, task: "First[P, R]", owner: type
    ) -> "Callable[P, Later[JobHandle[R]]]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsAny[P, R, *Ts]", owner: type
    ) -> "Callable[P, Later[JobHandle[R]]]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsOptional[P, R, *Ts]", owner: type
    ) -> "Callable[P, Later[JobHandle[R]]]": ...
    @overload
    def __get__[R, *Ts](
        self, task: "LastTwo[R, *Ts]", owner: type
    ) -> "ByPlace[Later[JobHandle[R]], *Ts]": ...
    @overload
    def __get__[R, *Ts](
        self, task: "Last[R, *Ts]", owner: type
    ) -> "ByPlace[Later[JobHandle[R]], *Ts]": ...
    @overload
    def __get__[**P, R](
        self, task: "Task[P, R]", owner: type
    ) -> "Callable[P, Later[JobHandle[R]]]": ...
    def __get__(self, task: "Any", owner: type) -> object:
        return task.sender.submit


class SubmitSync:
    """Submits a job where there is no event loop."""

    @overload
    def __get__[**P, R](
        self, task: "FirstIsAny[P, R]", owner: type
    ) -> "Callable[P, JobHandle[R]]": ...
    @overload
    def __get__[**P, R](self, task: "First[P, R]", owner: type) -> "Callable[P, JobHandle[R]]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsAny[P, R, *Ts]", owner: type
    ) -> "Callable[P, JobHandle[R]]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsOptional[P, R, *Ts]", owner: type
    ) -> "Callable[P, JobHandle[R]]": ...
    @overload
    def __get__[R, *Ts](
        self, task: "LastTwo[R, *Ts]", owner: type
    ) -> "ByPlace[JobHandle[R], *Ts]": ...
    @overload
    def __get__[R, *Ts](
        self, task: "Last[R, *Ts]", owner: type
    ) -> "ByPlace[JobHandle[R], *Ts]": ...
    @overload
    def __get__[**P, R](self, task: "Task[P, R]", owner: type) -> "Callable[P, JobHandle[R]]": ...
    def __get__(self, task: "Any", owner: type) -> object:
        return task.sender.submit_sync


class Call:
    """Runs a task in a job worker now, with no store."""

    @overload
    def __get__[**P, R](self, task: "FirstIsAny[P, R]", owner: type) -> "Callable[P, Later[R]]": ...
    @overload
    def __get__[**P, R](self, task: "First[P, R]", owner: type) -> "Callable[P, Later[R]]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsAny[P, R, *Ts]", owner: type
    ) -> "Callable[P, Later[R]]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsOptional[P, R, *Ts]", owner: type
    ) -> "Callable[P, Later[R]]": ...
    @overload
    def __get__[R, *Ts](self, task: "LastTwo[R, *Ts]", owner: type) -> "ByPlace[Later[R], *Ts]": ...
    @overload
    def __get__[R, *Ts](self, task: "Last[R, *Ts]", owner: type) -> "ByPlace[Later[R], *Ts]": ...
    @overload
    def __get__[**P, R](self, task: "Task[P, R]", owner: type) -> "Callable[P, Later[R]]": ...
    def __get__(self, task: "Any", owner: type) -> object:
        return task.sender.call


class CallSync:
    """Runs a task in a job worker now, where there is no event loop."""

    @overload
    def __get__[**P, R](self, task: "FirstIsAny[P, R]", owner: type) -> "Callable[P, R]": ...
    @overload
    def __get__[**P, R](self, task: "First[P, R]", owner: type) -> "Callable[P, R]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsAny[P, R, *Ts]", owner: type
    ) -> "Callable[P, R]": ...
    @overload
    def __get__[**P, R, *Ts](
        self, task: "LastIsOptional[P, R, *Ts]", owner: type
    ) -> "Callable[P, R]": ...
    @overload
    def __get__[R, *Ts](self, task: "LastTwo[R, *Ts]", owner: type) -> "ByPlace[R, *Ts]": ...
    @overload
    def __get__[R, *Ts](self, task: "Last[R, *Ts]", owner: type) -> "ByPlace[R, *Ts]": ...
    @overload
    def __get__[**P, R](self, task: "Task[P, R]", owner: type) -> "Callable[P, R]": ...
    def __get__(self, task: "Any", owner: type) -> object:
        return task.sender.call_sync
