"""What types of extension modules hold, where they do not show it to the collector themselves."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

type Walker = Callable[[Any], Iterable[object]]

_registered: dict[type[Any], Walker] = {}


def register_walker[T](kind: type[T], walker: Callable[[T], Iterable[object]]) -> None:
    """Tell `seal` and `size` what the objects of a type hold.

    Needed for types of extension modules that hold Python objects but do not show them to the
    garbage collector: the seal's report lists them as `unwalkable`. Registering a type again
    replaces its walker.

    Args:
        kind: the type; its subclasses are walked by the same function, unless they have one of
            their own.
        walker: called with each such object; gives the objects it holds. It must not change
            anything.
    """
    _registered[kind] = walker


def walkers() -> dict[type[Any], Walker]:
    """All walkers in force: ours for the libraries that are imported, then the registered ones."""
    found: dict[type[Any], Walker] = {}
    for module_name, type_name, walker in _KNOWN:
        kind = getattr(sys.modules.get(module_name), type_name, None)
        if isinstance(kind, type):
            found[kind] = walker
    found.update(_registered)
    return found


def _of_array(array: "np.ndarray[Any, Any]") -> Iterator[object]:
    """A numpy array: its base, its dtype, and its elements where they are objects."""
    yield array.base
    yield array.dtype
    if array.dtype.hasobject and type(array.base) is not type(array):
        yield from _elements(array)  # a view has none that its base has not


def _elements(array: "np.ndarray[Any, Any]") -> Iterator[object]:
    if array.dtype.names is None:
        yield from array.reshape(-1)
        return
    for name in array.dtype.names:
        if array.dtype[name].hasobject:
            yield from _elements(array[name])


def _of_dtype(dtype: "np.dtype[Any]") -> Iterator[object]:
    yield dtype.names
    if dtype.base is not dtype:
        yield dtype.base
    yield from (dtype.metadata or {}).values()
    yield from (dtype.fields or {}).values()


def _of_record(record: "np.void") -> Iterator[object]:
    """A numpy structured scalar."""
    yield record.dtype
    yield record.base
    if record.dtype.hasobject and record.dtype.names is not None:
        yield from (record[name] for name in record.dtype.names)


class _Automaton(Protocol):
    def values(self) -> Iterable[object]: ...


def _of_automaton(automaton: "_Automaton") -> Iterator[object]:
    yield from automaton.values()


_KNOWN: tuple[tuple[str, str, Walker], ...] = (
    ("numpy", "ndarray", _of_array),
    ("numpy", "dtype", _of_dtype),
    ("numpy", "void", _of_record),
    ("ahocorasick", "Automaton", _of_automaton),
)
