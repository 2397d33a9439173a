"""A store that does what it is asked for and whose answers do not arrive; to be put into an app."""

from collections.abc import Sequence
from typing import Any

from onecopy.jobs import Change, Claim
from onecopy.stores import Unavailable
from onecopy.stores.sqlite import SQLiteStore


def lose_answers_to_claims(count: int) -> None:
    """Have the first so many claims of each process go unanswered that have begun attempts."""
    claim, change = SQLiteStore.claim, SQLiteStore.change
    left = iter(range(count))

    def lose() -> None:
        if next(left, None) is not None:
            raise Unavailable("the answer was lost")

    async def lossy_claim(self: SQLiteStore, *asked: Any, **options: Any) -> Any:  # noqa: ANN401  as it is
        jobs = await claim(self, *asked, **options)
        if jobs:
            lose()
        return jobs

    async def lossy_change(
        self: SQLiteStore, changes: Sequence[tuple[str, Change]], *, now: float
    ) -> Any:  # noqa: ANN401  as it is
        answers = await change(self, changes, now=now)
        claimed = any(
            isinstance(asked, Claim) and not isinstance(answer, Exception)
            for (_, asked), answer in zip(changes, answers, strict=True)
        )
        if claimed:
            lose()
        return answers

    SQLiteStore.claim = lossy_claim
    SQLiteStore.change = lossy_change
