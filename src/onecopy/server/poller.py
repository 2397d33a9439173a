"""Waiting for several descriptors at once, without asyncio."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Poller:
    """Calls a function for each descriptor that has something to read or was closed."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `fd` can be read."""
        self._callbacks[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`; it may be unknown."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, seconds: float) -> None:
        """Wait until something can be read, `seconds` at most, and call what belongs to it."""
        for fd, _ in self._poll.poll(max(0, seconds) * 1000):
            callback = self._callbacks.get(fd)  # An earlier callback may have closed this one.
            if callback is not None:
                callback()
