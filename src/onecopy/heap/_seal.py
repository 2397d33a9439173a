"""The seal: collect, mark all that is reachable, freeze, tidy up; or freeze alone."""

import gc
import sys
import time
import warnings
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from onecopy.heap import _files
from onecopy.heap._files import FILE_TYPE
from onecopy.heap._report import LeftOut, SealReport, Tally, type_name
from onecopy.heap._selftest import self_test
from onecopy.heap._walkers import walkers

if TYPE_CHECKING:
    from onecopy.heap._immortal import Failure, SealedRow

# By the number that the extension gives: see LeftOut in native/kinds.h.
_REASONS = {
    2: "suspended: its finally blocks must still run when it is dropped",
    3: "a view: it must let go of its buffer when it is dropped",
    4: "a file: it must be flushed and closed when it is dropped",
    5: "nothing that was reached refers to it: it may be half built",
}


def seal(
    groups: Mapping[str, object] | None = None,
    *,
    instance_dicts: bool | None = None,
    utf8: bool = True,
    weakrefs: bool = False,
) -> SealReport:
    """Make all that this process can reach immortal and freeze it: forked processes share it.

    Call it once the data is loaded and before the first fork, from the only thread. It may be
    called again: a later seal adds what is new. There is no way back: what is sealed is never
    freed, by this process or by its children.

    Where the marks do not hold (see `self_test`), the heap is frozen with `gc.freeze()` alone, with
    one RuntimeWarning.

    Args:
        groups: values to tell apart in the report, by name: the datasets.
        instance_dicts: give each instance its `__dict__` now (64 bytes each), so that the first
            `vars(obj)` in a child does not copy the page the instance lies in. None: where some
            instance of the class has one already, because the program asked for it while it loaded
            or warmed up. Reading attributes does not ask for it.
        utf8: keep the UTF-8 form of each string of up to 256 characters that is not ASCII (its
            length in UTF-8, rounded up to 16 bytes). Otherwise the first JSON encoder that writes
            the string in a child copies its page.
        weakrefs: make the weak reference of each instance of a class (88 bytes each), for programs
            that take one to many sealed objects.

    Raises:
        MemoryError: while marking; what was marked stays so, the heap is not frozen.
    """
    started = time.perf_counter()
    tried = self_test()
    values = dict(groups or {})
    if not tried.works:
        return _freeze_only(tried.reason or "the self-test failed", started)
    was_enabled = gc.isenabled()
    gc.disable()
    _forget_earlier_freeze()
    try:
        from onecopy.heap import _immortal

        frames = _running_frames(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        rows, tallies, files, failures = _immortal.seal(
            values, frames, walkers(), FILE_TYPE, instance_dicts, utf8, weakrefs
        )
        frames.clear()
        gc.freeze()
        gc.collect()  # empties the free lists, whose objects lie among the sealed ones
        _immortal.tidy()
    finally:
        if was_enabled:
            gc.enable()
    _files.watch(files)
    _warn_of(failures)
    return _report(rows, tallies, time.perf_counter() - started)


def size(value: object) -> Tally:
    """Count the objects reachable from a value, and their bytes.

    Types, modules, functions and code do not count.

    Marks nothing. Takes about as long as a seal of the value, and 1/128 of its memory.

    Raises:
        RuntimeError: the extension does not work here (see `self_test`).
    """
    tried = self_test()
    if not tried.works:
        raise RuntimeError(f"onecopy.heap.size needs what a seal needs: {tried.reason}")
    from onecopy.heap import _immortal

    (objects, size_bytes), failures = _immortal.measure(value, walkers(), FILE_TYPE)
    _warn_of(failures)
    return Tally(objects, size_bytes)


def _running_frames(caller: FrameType) -> list[FrameType]:
    """The innermost frame of each thread, for this thread that of the seal's caller."""
    current = sys._getframe()  # pyright: ignore[reportPrivateUsage]
    frames = [
        frame
        for frame in sys._current_frames().values()  # pyright: ignore[reportPrivateUsage]
        if frame is not current
    ]
    return [*frames, caller]


_sealed = False


def _forget_earlier_freeze() -> None:
    """At the first seal: what the program froze itself, the walk could not find otherwise."""
    global _sealed
    if not _sealed and gc.get_freeze_count():
        gc.unfreeze()
    _sealed = True


_warned = False


def _freeze_only(reason: str, started: float) -> SealReport:
    global _warned
    freeze = getattr(gc, "freeze", None)
    gc.collect()
    if freeze is not None:
        freeze()
    _files.watch(_files.files_in(gc.get_objects()))
    if not _warned:
        _warned = True
        warnings.warn(
            "The heap is frozen but not immortal, so processes will copy what they read: "
            f"{reason}.",
            RuntimeWarning,
            stacklevel=3,
        )
    return SealReport(
        immortal=False, reason=reason, objects=0, bytes=0, seconds=time.perf_counter() - started
    )


def _warn_of(failures: "list[Failure]") -> None:
    first: dict[type[Any], BaseException] = {}
    for kind, error in failures:
        first.setdefault(kind, error)
    for kind, error in first.items():
        warnings.warn(
            f"The walker for {type_name(kind)} raised {type(error).__name__}: {error}. "
            "What such objects hold may not be shared.",
            RuntimeWarning,
            stacklevel=3,
        )


def _report(
    rows: "list[SealedRow]", tallies: dict[str, tuple[int, int]], seconds: float
) -> SealReport:
    types: dict[str, Tally] = {}
    left_out: dict[str, LeftOut] = {}
    unwalkable: dict[str, Tally] = {}
    for kind, objects, size_bytes, reason, left, hidden, hidden_bytes in rows:
        name = type_name(kind)
        if objects:
            types[name] = _plus(types.get(name), objects, size_bytes)
        if left:
            before = left_out.get(name, LeftOut(0, _REASONS[reason]))
            left_out[name] = LeftOut(before.objects + left, before.reason)
        if hidden:
            unwalkable[name] = _plus(unwalkable.get(name), hidden, hidden_bytes)
    return SealReport(
        immortal=True,
        reason=None,
        objects=sum(each.objects for each in types.values()),
        bytes=sum(each.bytes for each in types.values()),
        seconds=seconds,
        types=dict(sorted(types.items(), key=lambda item: -item[1].bytes)),
        left_out=left_out,
        unwalkable=unwalkable,
        groups={name: Tally(*tally) for name, tally in tallies.items()},
    )


def _plus(before: Tally | None, objects: int, size_bytes: int) -> Tally:
    if before is None:
        return Tally(objects, size_bytes)
    return Tally(before.objects + objects, before.bytes + size_bytes)
