"""How much is sent to each receiver at a time: one that hangs is to keep no other one waiting."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_FIRST: Final = 2
"""So that a hundred receivers that hang leave places for others."""
_MOST: Final = 32
_KNOWN: Final = 10_000
_LONGEST_PAUSE: Final = 3600.0
_BUSY: Final = frozenset({429, 502, 503, 504})
"""What a receiver answers that has too much to do."""


@dataclass(slots=True)
class _Receiver:
    places: int = _FIRST
    taken: int = 0
    failures: int = 0
    """Since it answered last."""
    paused_until: float = 0.0


class Receivers:
    """Places by receiver: a few at first, more with each success, one after it failed to answer."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Receiver] = OrderedDict()

    def room(self, receiver: str, now: float) -> int:
        """Return how many more may be sent to a receiver now."""
        known = self._known.get(receiver)
        if known is None:
            return _FIRST
        return 0 if now < known.paused_until else max(0, known.places - known.taken)

    def begin(self, receiver: str) -> None:
        """Take one of its places."""
        self._of(receiver).taken += 1

    def end(self, receiver: str) -> None:
        """Give a place back."""
        self._of(receiver).taken -= 1
        if len(self._known) > _KNOWN:
            self._forget()

    def learn(
        self, receiver: str, status: int | None, retry_after: float | None, now: float
    ) -> None:
        """Note what a receiver answered; None: nothing."""
        known = self._of(receiver)
        if status is None or status in _BUSY:
            known.places = 1
            known.failures += 1
            wait = max(_pause(known.failures), retry_after or 0.0)
            known.paused_until = now + min(wait, _LONGEST_PAUSE)
        else:
            known.failures = 0
            known.places = min(2 * known.places, _MOST)

    def _of(self, receiver: str) -> _Receiver:
        known = self._known.setdefault(receiver, _Receiver())
        self._known.move_to_end(receiver)
        return known

    def _forget(self) -> None:
        """Forget the one that was heard of last, unless something is on its way there."""
        receiver, known = next(iter(self._known.items()))
        if known.taken == 0:
            del self._known[receiver]
        else:
            self._known.move_to_end(receiver)


def _pause(failures: int) -> float:
    """Seconds without a new try: none after a few failures, up to a minute after many."""
    return 0.0 if failures <= _FIRST else min(60.0, 2.0 ** min(failures - _FIRST, 10))
