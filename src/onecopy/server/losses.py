"""What became of job workers that died, until it is on record.

The supervisor sees why a worker ended, and only a job worker can record it in the store. Whoever
is told may be stuck, or die before it has done so. So a loss is kept until one has answered that
it is recorded, and everyone who can is told, those too that become ready later.
"""

from __future__ import annotations

from onecopy.server.channel import Channel, Closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST = 256
"""Losses that are kept; of older ones the jobs are found by the sweepers, which do not know why."""


class Losses:
    """Tells the job workers of a run about those of them that died."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        """Messages by the name of the worker that died, the oldest first."""
        self._told: dict[Channel, str | None] = {}
        """For each that can record: the loss that it has not answered to yet."""

    def join(self, channel: Channel) -> None:
        """Tell a job worker from now on."""
        self._told[channel] = None
        self._tell(channel)

    def leave(self, channel: Channel) -> None:
        """Tell a worker no more; it may be unknown. What it did not answer to is still kept."""
        self._told.pop(channel, None)

    def add(self, worker: str, reason: str, begun: list[int] | None) -> None:
        """Note that a job worker is gone, why, and the marks of what it had begun (None: all)."""
        message = {"command": "lost", "worker": worker, "reason": reason, "begun": begun}
        self._kept[worker] = message
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        for channel in self._told:
            self._tell(channel)

    def recorded(self, channel: Channel, worker: str) -> None:
        """Note that a job worker has recorded the end of another."""
        self._kept.pop(worker, None)
        self._told[channel] = None
        self._tell(channel)

    def _tell(self, channel: Channel) -> None:
        """Tell the oldest loss, unless an answer is due: one who is stuck is not sent more."""
        if self._told[channel] is not None or not self._kept:
            return
        oldest = next(iter(self._kept))
        try:
            channel.send(self._kept[oldest])
        except Closed:
            return  # It is ending; its exit status follows.
        self._told[channel] = oldest
