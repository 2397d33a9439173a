"""What `onecopy doctor app:app` finds out: how much of an app is shared, and what is not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from onecopy.cli import webhook_checks
from onecopy.cli.checks import Check, usable_memory
from onecopy.server.narration import megabytes

_LITTLE: Final = 20_000_000
"""Copied bytes that no worker is worse for, whatever the size of the app."""
_WARN: Final = 0.97
_ALARM: Final = 0.75
"""Shares under which a check warns, and finds a problem."""
_LITTLE_HIDDEN: Final = 60_000_000
_HIDDEN: Final = 0.25
"""Bytes, and the part of an image, that are outside of objects in any app: Python, its libraries,
free memory."""
_NAMES: Final = 5
"""Types that a line names."""


class TypeRow(NamedTuple):
    """Objects of one type, and the bytes of them or of their pages."""

    type: str
    objects: int
    bytes: int


class LeftOutRow(NamedTuple):
    """Objects of one type that a seal leaves as they are, and why."""

    type: str
    objects: int
    reason: str


@dataclass(frozen=True)
class Sharing:
    """What a child copied that used every object, in bytes of memory.

    copied: by type, what was written to by mere use: the objects, and the bytes of their pages.
    """

    shared_before_bytes: int
    copied_bytes: int
    seconds: float
    copied: list[TypeRow]

    @property
    def share(self) -> float:
        """The part that stayed shared, from 0 to 1."""
        return 1 - self.copied_bytes / max(1, self.shared_before_bytes)


@dataclass(frozen=True)
class Trial:
    """What was found out about an app.

    sharing: None where the heap could not be sealed, for the reason that is told.
    warnings: what the image says in a run as well.
    """

    app: str
    reason: str | None
    image_bytes: int
    sealed_objects: int
    sealed_bytes: int
    seal_seconds: float
    datasets: list[dict[str, Any]]
    sharing: Sharing | None
    threads: list[str]
    left_out: list[LeftOutRow]
    unwalkable: list[TypeRow]
    webhooks: dict[str, Any]
    warnings: list[str]

    @classmethod
    def of(cls, app: str, found: dict[str, Any], warnings: list[str]) -> "Trial":
        """Read what the process on trial has sent."""
        return cls(
            app=app,
            reason=found["reason"],
            image_bytes=found["image_bytes"],
            sealed_objects=found["sealed_objects"],
            sealed_bytes=found["sealed_bytes"],
            seal_seconds=found["seal_seconds"],
            datasets=found["datasets"],
            sharing=_sharing(found["probe"]),
            threads=found["threads"],
            left_out=[LeftOutRow(*row) for row in found["left_out"]],
            unwalkable=_largest_first(found["unwalkable"]),
            webhooks=found["webhooks"],
            warnings=warnings,
        )


def _sharing(probe: dict[str, Any] | None) -> Sharing | None:
    if probe is None:
        return None
    copied = _largest_first(probe["copied"])
    before: int = probe["shared_before_bytes"]
    # What the child maps meanwhile from files can hide in the difference what it copied.
    lost = max(before - probe["shared_after_bytes"], sum(row.bytes for row in copied))
    return Sharing(before, min(before, lost), probe["seconds"], copied)


def _largest_first(rows: list[tuple[str, int, int]]) -> list[TypeRow]:
    return sorted((TypeRow(*row) for row in rows), key=lambda row: (-row.bytes, -row.objects))


def app_checks(trial: Trial) -> Iterator[Check]:
    """Judge what was found out."""
    for dataset in trial.datasets:
        yield _tell_dataset(dataset)
    yield _check_seal(trial)
    if trial.sharing is not None:
        yield _check_sharing(trial.sharing)
    yield _check_threads(trial.threads)
    if trial.unwalkable and trial.reason is None:
        yield _check_unwalkable(trial)
    if trial.left_out:
        yield _check_left_out(trial.left_out)
    yield _check_room(trial.image_bytes)
    yield from webhook_checks.app_checks(trial.webhooks)
    told = [*trial.threads, *([trial.reason] if trial.reason else [])]
    for warning in trial.warnings:
        if not any(each in warning for each in told):
            yield Check("image", "warning", warning)


def _tell_dataset(dataset: dict[str, Any]) -> Check:
    found = f"{dataset['name']}: "
    if dataset["bytes"] is not None:
        found += f"{megabytes(dataset['bytes'])}, {dataset['objects']:,} objects, "
    return Check("dataset", "ok", f"{found}loaded in {dataset['load_seconds']:.2f} s")


def _check_seal(trial: Trial) -> Check:
    if trial.reason is not None:
        return Check("seal", "problem", f"frozen, but not sealed: {trial.reason}")
    found = (
        f"{trial.sealed_objects:,} objects, {megabytes(trial.sealed_bytes)}, "
        f"in {trial.seal_seconds:.2f} s"
    )
    return Check("seal", "ok", found)


def _check_sharing(sharing: Sharing) -> Check:
    found = (
        f"{sharing.share:.1%} of {megabytes(sharing.shared_before_bytes)} stayed shared when a "
        f"child used every object; it copied {megabytes(sharing.copied_bytes)}"
    )
    if sharing.share >= _WARN or sharing.copied_bytes < _LITTLE:
        return Check("sharing", "ok", found)
    return Check(
        "sharing",
        "warning" if sharing.share >= _ALARM else "problem",
        found,
        "see by type below: what fills a cache of its own at its first use can be used once in an "
        "@shared.warm function, before the seal",
    )


def _check_threads(threads: list[str]) -> Check:
    if not threads:
        return Check("threads", "ok", "none but the main thread")
    return Check(
        "threads",
        "warning",
        f"alive after the import, and in no worker: {', '.join(threads)}",
        "start threads in the lifespan, which runs in each worker",
    )


def _check_unwalkable(trial: Trial) -> Check:
    """What such objects hold is no more than the memory that is in no object that was seen."""
    hidden = max(0, trial.image_bytes - trial.sealed_bytes)
    found = f"{_named(trial.unwalkable)}: at most {megabytes(hidden)} can be hidden in such objects"
    if hidden < max(_LITTLE_HIDDEN, _HIDDEN * trial.image_bytes):
        return Check("unwalkable", "ok", found)
    return Check(
        "unwalkable",
        "warning",
        found,
        "if they hold Python objects, show these with onecopy.heap.register_walker",
    )


def _check_left_out(rows: list[LeftOutRow]) -> Check:
    return Check("left out", "ok", f"{_named(rows)}: each worker has its own, as it must")


def _named(rows: list[Any]) -> str:
    names = [f"{row.objects:,} {row.type}" for row in rows[:_NAMES]]
    more = len(rows) - _NAMES
    return ", ".join(names) + (f" and {more} more types" if more > 0 else "")


def _check_room(image: int) -> Check:
    """A reload loads the new image while the old one serves."""
    room = usable_memory()
    found = f"two images, as in a reload, take {megabytes(2 * image)} of {megabytes(room)}"
    if 2 * image < 0.9 * room:
        return Check("room", "ok", found)
    return Check(
        "room",
        "warning",
        found,
        "give it more memory, or restart the service in the place of a reload",
    )
