"""Up to where a partition is done with. Pure.

Kafka knows one number for a partition: where its reader goes on. What lies before it is never
delivered again, so it is the first message that is not settled.
"""

from collections import deque


class Prefix:
    """The messages of one partition that were delivered here, in their order."""

    def __init__(self) -> None:
        self._delivered: deque[int] = deque()
        self._settled: set[int] = set()

    @property
    def unsettled(self) -> int:
        """How many are not settled."""
        return len(self._delivered) - len(self._settled)

    def delivered(self, offset: int) -> None:
        """Add the next message."""
        self._delivered.append(offset)

    def settle(self, offset: int) -> int | None:
        """Settle a message; return where a reader may go on now, if that is further."""
        if offset in self._delivered:
            self._settled.add(offset)
        further = None
        while self._delivered and self._delivered[0] in self._settled:
            further = self._delivered.popleft()
            self._settled.discard(further)
        return None if further is None else further + 1
