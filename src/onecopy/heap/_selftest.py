"""Whether this very interpreter takes marked objects for immortal: tried on scratch objects."""

import functools
import os
import sys
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Whether the heap can be sealed here.

    Attributes:
        works: True if marked objects stayed as they were marked, through all kinds of use.
        reason: why not, in words; None if it works.
        python: the interpreter this was found on.
    """

    works: bool
    reason: str | None
    python: str


@functools.cache
def self_test() -> SelfTest:
    """Try the seal's marks on scratch objects; the answer is kept for the life of the process."""
    reason = _find_reason()
    return SelfTest(works=reason is None, reason=reason, python=_python())


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    return f"{_implementation()} {version} on {sys.platform} ({machine})"


def _implementation() -> str:
    name = sys.implementation.name
    return {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}.get(name, name)


def _find_reason() -> str | None:
    if sys.implementation.name != "cpython":
        return f"this is {_implementation()}, not CPython"
    try:
        from onecopy.heap import _immortal
    except ImportError as error:
        return f"the extension onecopy.heap._immortal cannot be imported: {error}"
    try:
        return _immortal.UNSUPPORTED or _try_marks(_immortal)
    except Exception as error:  # whatever it is, the answer is to freeze only
        return f"the self-test raised {type(error).__name__}: {error}"


class _Scratch:
    """An object that tells when it is freed."""

    freed = 0

    def __init__(self) -> None:
        self.text = "scratch"

    def __del__(self) -> None:
        _Scratch.freed += 1


def _try_marks(immortal: ModuleType) -> str | None:
    scratch: list[object] = [_Scratch(), ["a", 1], {"key": 1.5}, ("a", 2), str(_Scratch), 10**30]
    _mark(immortal, scratch)
    before = [immortal.count(value) for value in scratch]
    _use(scratch)
    for value in scratch:
        immortal.touch(value, 1000)
    after = [immortal.count(value) for value in scratch]
    if before != after:
        return f"the count of a marked object moved when it was used (from {before} to {after})"
    if not all(immortal.is_immortal(value) for value in scratch):
        return "a marked object does not look immortal"
    is_immortal = getattr(sys, "_is_immortal", None)
    if is_immortal is not None and not all(is_immortal(value) for value in scratch):
        return "the interpreter does not take a marked object for immortal"
    scratch.clear()
    return "a marked object was freed" if _Scratch.freed else None


def _mark(immortal: ModuleType, values: list[object]) -> None:
    """In its own frame: on 3.14, a frame that holds an object while it is marked takes one back."""
    for value in values:
        immortal.mark(value)


def _use(values: list[object]) -> None:
    """What programs do with objects: pass, keep, compare, iterate, read attributes, drop."""
    for _ in range(100):
        copies = [*values, *values]
        pairs = list(zip(copies, values * 2, strict=True))
        named = {index: pair[0] for index, pair in enumerate(pairs)}
        for value in named.values():
            _ = str(value), value == copies, getattr(value, "text", value), isinstance(value, list)
        del copies[0], pairs, named
