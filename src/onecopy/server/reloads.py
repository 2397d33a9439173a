"""Reloads: one at a time, who waits for it, and whether another is to follow."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onecopy.server.control_server import Answer


class Reloads:
    """Keeps who asked for a reload, until there is something to answer."""

    def __init__(self) -> None:
        self._began = 0.0
        self._waiting: list[Answer] = []
        self._outcome: dict[str, Any] | None = None
        self._another = False

    def begin(self) -> None:
        """Note that a generation is being loaded from now on."""
        self._began = time.monotonic()

    def succeeded(self, generation: int) -> float:
        """Note that it serves; return how many seconds that took. The outcome is still to tell."""
        seconds = time.monotonic() - self._began
        self._outcome = {"ok": True, "generation": generation, "seconds": round(seconds, 3)}
        return seconds

    @property
    def untold(self) -> bool:
        """Whether one has succeeded and nobody was told: old workers may still accept."""
        return self._outcome is not None

    def tell(self) -> None:
        """Tell the outcome to all who wait."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            self._answer(outcome)

    def failed(self, reason: str) -> None:
        """Tell all who wait that there is no new generation."""
        self._answer({"ok": False, "reason": reason})

    def wait(self, answer: Answer) -> None:
        """Have the outcome told."""
        self._waiting.append(answer)

    def ask_for_another(self, answer: Answer | None = None) -> None:
        """Have one more follow, whose outcome is told: this one may have read the old files."""
        self._another = True
        if answer is not None:
            self._waiting.append(lambda _: self._waiting.append(answer))

    def take_another(self) -> bool:
        """Return whether one more is to follow; asked once."""
        another, self._another = self._another, False
        return another

    def _answer(self, outcome: dict[str, Any]) -> None:
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(outcome)
