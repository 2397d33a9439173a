"""How often the progress of one attempt is worth an event, so that no history grows for ever."""

from typing import Final

_LEAST: Final = 0.1
"""As often as a person can see."""
_MOST: Final = 5.0


def pace(seconds: float) -> float:
    """Return how many seconds lie between reports of an attempt that has run for so long.

    Later as often as a bar moves: ten hours are worth some 10,000 events, not 360,000.
    """
    return max(_LEAST, min(_MOST, seconds / 1000))
