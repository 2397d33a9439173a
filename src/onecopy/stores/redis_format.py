"""Which form the keys of a Redis store have: several versions of onecopy may use one server."""

from typing import Final

from onecopy.stores.base import Unavailable
from onecopy.stores.redis_programs import Program

FORMAT: Final = 2
"""Grows when a version before this one would misread what is written."""


def must_be_known(tag: str, name: str) -> Program[None]:
    """Note the form of a new store. Raises Unavailable if a newer onecopy has written it."""
    key = f"{tag}format"
    (known,) = yield [("GET", key)]
    if known is None or int(known) < FORMAT:
        yield [("SET", key, FORMAT)]
    elif int(known) > FORMAT:
        raise Unavailable(
            f"the store {name} was written by a newer onecopy (format {int(known)}, this one knows "
            f"{FORMAT}): update this one, or name another store (`?prefix=`)"
        )
