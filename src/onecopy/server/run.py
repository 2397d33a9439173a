"""What supervisor and generations have in common during one run."""

from __future__ import annotations

from onecopy.server.losses import Losses
from onecopy.server.scoreboard import Scoreboard, create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onecopy.server.narration import Narrator
    from onecopy.server.poller import Poller
    from onecopy.server.settings import Settings

START_FAILED = 3
"""Exit code when the app could not be started; uvicorn's is the same."""
_UNKNOWN = 64
"""Exits of unknown children that are kept; most are of processes that an app left behind."""


class Run:
    """Settings, the loop's poller, the scoreboard and its slots, and what is told to whom."""

    def __init__(
        self, settings: Settings, settings_fd: int, poller: Poller, narrator: Narrator
    ) -> None:
        self.settings = settings
        self.settings_fd = settings_fd
        self.poller = poller
        self.narrator = narrator
        self.scoreboard_fd = create()
        self.scoreboard = Scoreboard(self.scoreboard_fd)
        self.slots: set[int] = set()
        self.losses = Losses()
        self._exits: dict[int, int] = {}

    def keep_exit(self, pid: int, status: int) -> None:
        """Keep the status of a child that nobody knows: its first message may be on its way."""
        self._exits[pid] = status
        if len(self._exits) > _UNKNOWN:
            del self._exits[next(iter(self._exits))]

    def take_exit(self, pid: int) -> int | None:
        """Return the status of a child that has ended before it said who it was."""
        return self._exits.pop(pid, None)
