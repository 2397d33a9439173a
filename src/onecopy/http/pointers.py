"""From where pydantic found a fault to a JSON Pointer (RFC 6901) into the body. Pure."""

from collections.abc import Sequence
from typing import cast


def pointer(location: Sequence[object], body: object, *, missing: bool = False) -> str:
    """Return the pointer to the value that a fault is about, or to where a missing one belongs.

    pydantic also names members of unions and validators on its way; those are not in the body.
    """
    steps: list[str] = []
    at = body
    for number, step in enumerate(location):
        inside = _inside(at, step)
        if inside is not None:
            steps.append(_escaped(step))
            at = inside[0]
        elif missing and number == len(location) - 1:
            steps.append(_escaped(step))
    return "".join(f"/{step}" for step in steps)


def _inside(value: object, step: object) -> tuple[object] | None:
    if isinstance(value, dict) and step in value:
        return (cast(dict[object, object], value)[step],)
    if isinstance(value, list) and isinstance(step, int):
        items = cast(list[object], value)
        return (items[step],) if 0 <= step < len(items) else None
    return None


def _escaped(step: object) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
