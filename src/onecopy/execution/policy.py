"""When a failed attempt is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FIRST: Final = 1.0
_LONGEST: Final = 3600.0

type Backoff = float | Callable[[int], float] | None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait before the next attempt.

    backoff: seconds before the first retry, doubled for each later one (at most an hour), or a
        function of the attempt's number, from 1. None: from one second.
    retry_on: the exceptions after which there is a next attempt.
    """

    backoff: Backoff = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt, with full jitter over the upper half.

        Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
        """
        if callable(self.backoff):
            return max(0.0, float(self.backoff(attempt)))
        first = _FIRST if self.backoff is None else self.backoff
        longest = min(_LONGEST, first * 2.0 ** min(attempt - 1, 30))
        return longest * random.uniform(0.5, 1.0)

    def wants(self, error: BaseException) -> bool:
        """Return whether an exception is one to try again after."""
        return isinstance(error, self.retry_on)
