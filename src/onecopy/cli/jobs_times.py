"""Times and ages as they are written on the command line: `2h`, `2026-11-23T18:00`."""

import re
import time
from datetime import UTC, datetime
from typing import Final, override

import click

_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|d|w)")


class Age(click.ParamType[float]):
    """A span of time, in seconds: `90s`, `30min`, `2h`, `7d`."""

    name = "age"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number of seconds."""
        if isinstance(value, float):
            return value
        seconds = _age(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no age: write for example 30min, 2h or 7d", param, ctx)
        return seconds


class Moment(click.ParamType[float]):
    """A time, in seconds since 1970: so long ago, or ISO 8601; without an offset local time."""

    name = "time"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the time."""
        if isinstance(value, float):
            return value
        ago = _age(str(value))
        try:
            if ago is not None:
                return time.time() - ago
            return datetime.fromisoformat(str(value)).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no time: write 2h for two hours ago, or ISO 8601", param, ctx)


def _age(text: str) -> float | None:
    match = _AGE.fullmatch(text.strip())
    return None if match is None else float(match[1]) * _SECONDS[match[2]]


def local(seconds: float | None, *, spec: str = "seconds") -> str:
    """Return a time for people, in their time zone."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds).astimezone().replace(tzinfo=None).isoformat(" ", spec)


def rfc3339(seconds: float | None) -> str | None:
    """Return a time for programs, as on the wire: in UTC, to the millisecond."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
