"""How long a worker's right to an attempt lasts without being lengthened."""

import os
from typing import Final

from onecopy.errors import OptionError

_VARIABLE: Final = "ONECOPY_LEASE"
_LEAST: Final = 10.0


def _seconds() -> float:
    text = os.environ.get(_VARIABLE)
    if not text:
        return 30.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _LEAST <= seconds <= 86400:
        raise OptionError(_VARIABLE, f"{text!r} is no number of seconds from {_LEAST:g} to 86400")
    return seconds


LEASE: Final = _seconds()
"""Seconds; the same on all hosts, by ONECOPY_LEASE."""
