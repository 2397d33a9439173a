"""OneCopy: what an app writes in its own modules."""

from collections.abc import Callable, Coroutine
from typing import Any, overload

from onecopy.datasets import Dataset, registry


class OneCopy:
    """The datasets of an app and what warms them.

    Any number of these may exist in a process; the names of datasets are unique in the process.
    """

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
