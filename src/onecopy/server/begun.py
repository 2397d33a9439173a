"""Which of its attempts a job worker has really begun, for the case that it is killed.

It may have claimed more than it has begun. Its marks on the scoreboard outlive it, and the
supervisor passes them on: what was begun counts as an attempt, the rest is given back.
"""

from typing import Final

from onecopy.execution.sweeper import mark_of
from onecopy.server.scoreboard import MARKS, Scoreboard


class Begun:
    """Marks the attempts of one worker: each before its task is run, and until it is on record.

    An attempt may begin in any thread; what has ended is told by one.
    """

    def __init__(self, scoreboard: Scoreboard, slot: int) -> None:
        self._scoreboard = scoreboard
        self._slot = slot
        self._free: Final = list(range(MARKS))
        self._places: Final[dict[str, int]] = {}

    def begin(self, token: str) -> None:
        """Mark an attempt by the token of its lease; may be called twice."""
        if token in self._places:
            return
        self._scoreboard.count_accepted(self._slot)
        try:
            place = self._free.pop()
        except IndexError:
            self._scoreboard.give_up_marks(self._slot)
            return
        self._places[token] = place
        self._scoreboard.set_mark(self._slot, place, mark_of(token))

    def end(self, token: str) -> None:
        """Remove a mark, once the attempt's outcome is on record; it may be unknown."""
        place = self._places.pop(token, None)
        if place is not None:
            self._scoreboard.set_mark(self._slot, place, 0)
            self._free.append(place)
