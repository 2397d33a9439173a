"""The queues that a job worker serves, and in which order it looks into them. Pure."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final, Self

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_EXAMPLE: Final = "default:3,slow:1"


class Queues:
    """Names of queues; with weights, or to be served strictly in their order.

    With weights, each job that a queue yields moves that queue on by a step, the shorter the higher
    its weight, and whoever is furthest behind is looked at first (stride scheduling). So jobs are
    begun in the ratio of the weights, evenly mixed, and none starves. A queue that is found empty
    gives its turn away: it is moved on to the one that had a job, and saves nothing up.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[int] = ()) -> None:
        """Take the names, and as many weights from 1, or none."""
        self.names = tuple(names)
        self.weights = tuple(weights)
        whole = math.lcm(*weights)
        self._steps = [whole // weight for weight in weights]
        self._places = [0] * len(self.names)
        self._order = list(range(len(self.names)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `a,b` or `a:3,b:1`.

        Raises:
            ValueError: it is neither; says why in one line.
        """
        entries = [entry.strip().partition(":") for entry in text.split(",") if entry.strip()]
        names = [_name(name) for name, _, _ in entries]
        if not names:
            raise ValueError(f"{text!r} names no queue")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"queue {name!r} is there twice")
        weighted = [colon for _, colon, _ in entries]
        if not any(weighted):
            return cls(names)
        if not all(weighted):
            raise ValueError(f"{text!r}: give each queue a weight, or none: {_EXAMPLE}")
        return cls(names, [_weight(weight) for _, _, weight in entries])

    def order(self) -> list[str]:
        """Return the names in the order in which the next claim is to look."""
        if self._steps:
            self._order.sort(key=lambda queue: (self._places[queue], queue))
        return [self.names[queue] for queue in self._order]

    def took(self, names: Iterable[str]) -> None:
        """Note from which queues the jobs of that claim came, one name for each job."""
        if not self._steps:
            return
        for name in names:
            queue = self.names.index(name)
            place = self._places[queue]
            for empty in self._order[: self._order.index(queue)]:
                self._places[empty] = max(self._places[empty], place)
            self._places[queue] += self._steps[queue]


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name: letters, digits, '_', '.', '-', at most 100")
    return text


def _weight(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text.strip()):
        raise ValueError(f"{text!r} is no weight: a whole number from 1, as in {_EXAMPLE}")
    return int(text)
