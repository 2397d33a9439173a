"""The C extension: what `onecopy.heap` uses of it. Nothing here is public."""

from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

UNSUPPORTED: str | None

type SealedRow = tuple[type[Any], int, int, int, int, int, int]
type UsedRow = tuple[type[Any], int, int]
type Failure = tuple[type[Any], BaseException]

def seal(
    groups: dict[str, object],
    frames: list[FrameType],
    walkers: dict[type[Any], Callable[[Any], Iterable[object]]],
    file_type: type[Any],
    instance_dicts: bool | None,
    utf8: bool,
    weakrefs: bool,
    /,
) -> tuple[list[SealedRow], dict[str, tuple[int, int]], list[Any], list[Failure]]: ...
def measure(
    value: object,
    walkers: dict[type[Any], Callable[[Any], Iterable[object]]],
    file_type: type[Any],
    /,
) -> tuple[tuple[int, int], list[Failure]]: ...
def use(
    frames: list[FrameType],
    walkers: dict[type[Any], Callable[[Any], Iterable[object]]],
    file_type: type[Any],
    /,
) -> list[UsedRow]: ...
def mark(value: object, /) -> None: ...
def count(value: object, /) -> int: ...
def is_immortal(value: object, /) -> bool: ...
def touch(value: object, times: int, /) -> None: ...
def tidy() -> int: ...
