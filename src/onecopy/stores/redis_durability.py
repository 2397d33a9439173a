"""Whether a Redis server keeps what it has answered: what could lose jobs, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from onecopy.stores.base import Unavailable
from onecopy.stores.redis_programs import Program

_UNKNOWN: Final = (
    "does not tell how it is set (CONFIG is forbidden): whether jobs are safe when it ends, in an "
    "append-only file, cannot be known"
)
_NO_FILE: Final = (
    "writes no append-only file: jobs that it has accepted are lost when it ends; set "
    "`appendonly yes` and `appendfsync always`"
)
_SOMETIMES: Final = (
    "writes its append-only file to the disk {often}: a power cut takes what was accepted since; "
    "set `appendfsync always`"
)
_EVICTS: Final = (
    "deletes keys when its memory is full (maxmemory-policy {policy}): jobs would be lost; set "
    "`maxmemory-policy noeviction`"
)
_OFTEN: Final = {"everysec": "once a second", "no": "when the system likes"}


def ask() -> Program[list[str]]:
    """Ask the server how it is set, and return what there is to be worried about."""
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    try:
        answers = yield [("CONFIG", "GET", name) for name in names]
    except Unavailable:
        return [_UNKNOWN]
    return concerns({k: v for answer in answers for k, v in _pairs(answer)})


def _pairs(answer: Sequence[Any]) -> list[tuple[str, str]]:
    words = [word.decode() for word in answer]
    return [*zip(words[::2], words[1::2], strict=True)]


def concerns(settings: Mapping[str, str]) -> list[str]:
    """Return what there is to be worried about, by the server's settings."""
    found: list[str] = []
    if "appendonly" not in settings:
        found.append(_UNKNOWN)
    elif settings["appendonly"] != "yes":
        found.append(_NO_FILE)
    elif (often := _OFTEN.get(settings.get("appendfsync", ""))) is not None:
        found.append(_SOMETIMES.format(often=often))
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction" and settings.get("maxmemory") != "0":
        found.append(_EVICTS.format(policy=policy))
    return found
