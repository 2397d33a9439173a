"""What a seal tells: how much was marked, and what was not, by type and by dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tally:
    """So many objects, and the bytes that they take themselves."""

    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Objects of one type that were not made immortal, and why."""

    objects: int
    reason: str


@dataclass(frozen=True, slots=True)
class SealReport:
    """The outcome of `seal()`.

    Attributes:
        immortal: whether objects were made immortal; False: the heap was only frozen, and `reason`
            says why.
        reason: why the seal fell back to `gc.freeze()`, in words; None when it did not.
        objects: objects made immortal by this seal.
        bytes: bytes that those objects take.
        seconds: how long the seal took.
        types: the same by qualified type name, the largest first.
        left_out: by type name, what was not made immortal and why.
        unwalkable: by type name, objects that may hold others which cannot be seen:
            `register_walker` is the cure.
        groups: by the names given to `seal`, all that is reachable from each value, as data. What
            two groups share counts for the first.
    """

    immortal: bool
    reason: str | None
    objects: int
    bytes: int
    seconds: float
    types: Mapping[str, Tally] = field(default_factory=dict[str, Tally])
    left_out: Mapping[str, LeftOut] = field(default_factory=dict[str, LeftOut])
    unwalkable: Mapping[str, Tally] = field(default_factory=dict[str, Tally])
    groups: Mapping[str, Tally] = field(default_factory=dict[str, Tally])


def type_name(kind: type[object]) -> str:
    """The name of a type as a reader knows it: `dict`, `collections.OrderedDict`."""
    # type's own attributes: a metaclass or a class attribute may answer __module__ with anything.
    name = type.__getattribute__(kind, "__qualname__")
    try:
        module: object = type.__getattribute__(kind, "__module__")
    except AttributeError:
        return str(name)
    return str(name) if module == "builtins" else f"{module}.{name}"
