"""Which form the keys of a Redis store have: several versions of onecopy may use one server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from onecopy.redis_script import Script
from onecopy.stores.base import Outdated

if TYPE_CHECKING:
    from onecopy.stores.redis_link import Request
    from onecopy.stores.redis_programs import Program

FORMAT: Final = 2
"""Grows when a version before this one would misread what is written."""
KNOWN: Final = Script("onecopy.stores", "known")
NEWER: Final = "NEWER"
"""What the scripts refuse with, and the form, where a newer onecopy has written the keys."""


def must_be_known(tag: str, name: str) -> Program[None]:
    """Note the form of a new store. Raises Outdated if a newer onecopy has written it."""
    key = f"{tag}format"
    (known,) = yield [("GET", key)]
    if known is None or int(known) < FORMAT:
        yield [("SET", key, FORMAT)]
    elif int(known) > FORMAT:
        raise newer(name, int(known))


def look(tag: str) -> Request:
    """Return what the server refuses if a newer onecopy has written the keys."""
    return KNOWN.call(tag, tag, FORMAT)


def newer(name: str, form: int) -> Outdated:
    """Say that a newer onecopy has written a store."""
    return Outdated(
        f"the store {name} was written by a newer onecopy (format {form}, this one knows "
        f"{FORMAT}): update this one, or name another store (`?prefix=`)"
    )
