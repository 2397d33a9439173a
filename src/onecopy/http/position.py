"""How far a stream of events has come, as text: its `Last-Event-ID`.

One number for each job, in the order of the jobs, joined by dots; "-" where nothing was told yet.
"-1" is read as that too: so it is in Python.
"""

import re
from collections.abc import Iterable
from typing import Final

_PART: Final = re.compile(r"-1?|[0-9]{1,18}")


def write_position(numbers: Iterable[int]) -> bytes:
    """Return a position as text; -1 stands for nothing."""
    return b".".join(b"-" if number < 0 else b"%d" % number for number in numbers)


def read_position(text: str, count: int) -> list[int]:
    """Return the numbers of so many jobs. Raises ValueError if the text is none of theirs."""
    parts = text.split(".", count)
    if len(parts) != count or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(text)
    return [-1 if part.startswith("-") else int(part) for part in parts]
