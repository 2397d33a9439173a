"""What a client sends over a WebSocket: which jobs to follow, or to cancel."""

import re
from typing import Final

from msgspec import UNSET, DecodeError, Struct, UnsetType
from msgspec.json import Decoder

from onecopy.http.problems import Kind, Problem

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a job's id is made of."""


class Wish(Struct, forbid_unknown_fields=True):
    """One message: one of `subscribe`, with or without `after`; `unsubscribe`; `cancel`.

    after: events with numbers over this are told; one number for all jobs, or for each its own.
    """

    subscribe: list[str] | UnsetType = UNSET
    after: int | dict[str, int] = -1
    unsubscribe: list[str] | UnsetType = UNSET
    cancel: str | UnsetType = UNSET

    def after_of(self, job: str) -> int:
        """Return after which number a job is to be told."""
        return self.after if isinstance(self.after, int) else self.after.get(job, -1)


_decoder: Final = Decoder(Wish)


def read_wish(text: str) -> Wish:
    """Return what a message asks for. Raises Problem."""
    try:
        wish = _decoder.decode(text)
    except (DecodeError, UnicodeEncodeError) as error:
        raise Problem(Kind.MESSAGE_INVALID, str(error)) from None
    wishes = (wish.subscribe, wish.unsubscribe, wish.cancel)
    if sum(each is not UNSET for each in wishes) != 1:
        detail = 'Send one of "subscribe", "unsubscribe" and "cancel".'
        raise Problem(Kind.MESSAGE_INVALID, detail)
    return wish


class Allowance:
    """How often somebody may do something: so many times at once, and so many each second."""

    def __init__(self, at_once: int, a_second: float, now: float) -> None:
        self._most = at_once
        self._rate = a_second
        self._left = float(at_once)
        self._counted_at = now

    def take(self, now: float) -> bool:
        """Count one time; return whether it was allowed."""
        self._left = min(self._most, self._left + (now - self._counted_at) * self._rate)
        self._counted_at = now
        self._left -= 1
        return self._left >= 0
