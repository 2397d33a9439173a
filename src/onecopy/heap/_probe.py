"""The proof: a forked child uses every object there is, and tells how much is shared after it."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from onecopy.heap._files import FILE_TYPE
from onecopy.heap._memory import memory, rollup_bytes
from onecopy.heap._report import Tally, type_name
from onecopy.heap._selftest import self_test
from onecopy.heap._walkers import walkers


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What was shared with a child before and after it used every object, in bytes of memory.

    Attributes:
        shared_before_bytes: shared with this process when the child began.
        shared_after_bytes: still shared when it had used everything.
        types: by type name, the objects that were written to by mere use, and the bytes of the
            pages they were the first to write to; the largest first. Empty when all stayed shared.
        seconds: how long it took.
    """

    shared_before_bytes: int
    shared_after_bytes: int
    types: Mapping[str, Tally]
    seconds: float

    @property
    def lost_bytes(self) -> int:
        """Bytes that were shared and are no longer."""
        return max(0, self.shared_before_bytes - self.shared_after_bytes)

    @property
    def share(self) -> float:
        """The part that stayed shared, from 0 to 1."""
        return 1 - self.lost_bytes / max(1, self.shared_before_bytes)


class _Answer(TypedDict):
    before: int
    after: int
    types: dict[str, tuple[int, int]]


def probe() -> ProbeReport:
    """Fork a child that uses every object this process can reach, and measure what that copies.

    To use is to take a reference, to hash, to encode in UTF-8, to look at `__dict__`: what programs
    do that only read. The kernel says how much stayed shared, the child which objects were written
    to. Call it from the only thread, after a seal.

    Raises:
        RuntimeError: objects cannot be walked here (see `self_test`), or the child failed.
        OSError: the fork failed.
    """
    tried = self_test()
    if not tried.works:
        raise RuntimeError(f"onecopy.heap.probe needs what a seal needs: {tried.reason}")
    started = time.perf_counter()
    answer = _answer_of_child()
    types = {name: Tally(*tally) for name, tally in answer["types"].items()}
    return ProbeReport(
        shared_before_bytes=answer["before"],
        shared_after_bytes=answer["after"],
        types=dict(sorted(types.items(), key=lambda item: -item[1].bytes)),
        seconds=time.perf_counter() - started,
    )


def _answer_of_child() -> _Answer:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(write_end)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0 or not text:
        raise RuntimeError(f"the child that used every object ended with exit code {code}")
    return json.loads(text)


def _child(write_end: int) -> None:
    """Runs in the child, and ends it without any of the parent's clean-up."""
    try:
        text = json.dumps(_use_everything())
        with open(write_end, "w", encoding="utf-8") as pipe:
            pipe.write(text)
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"onecopy.heap.probe: {type(error).__name__}: {error}\n")
    finally:
        os._exit(1)


def _use_everything() -> _Answer:
    from onecopy.heap import _immortal

    frames = list(sys._current_frames().values())  # pyright: ignore[reportPrivateUsage]
    before = _shared_bytes()
    rows = _immortal.use(frames, walkers(), FILE_TYPE)
    after = _shared_bytes()
    types: dict[str, tuple[int, int]] = {}
    for kind, objects, size_bytes in rows:
        name = type_name(kind)
        so_far = types.get(name, (0, 0))
        types[name] = (so_far[0] + objects, so_far[1] + size_bytes)
    return _Answer(before=before, after=after, types=types)


def _shared_bytes() -> int:
    """What is shared of the memory that was written to: not of the files that are mapped."""
    try:
        return rollup_bytes(Path("/proc/self/smaps_rollup").read_text("ascii"), "Shared_Dirty")
    except FileNotFoundError:
        return memory([os.getpid()])[os.getpid()].shared_bytes
