"""The Engine protocol, in words of jobs; `onecopy.testing.EngineContract` is its proof.

An engine may lose what it carries, or carry it twice: a worker claims in the store whatever it was
told, and a sweep finds what nobody was told of. So no method here waits for anybody, and none fails
because nobody listens.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class Engine(Protocol):
    """Wakes workers when there is work, and waiters when a job has changed."""

    async def open(self) -> None:
        """Connect; called once in each process and event loop that uses it."""
        ...

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        ...

    async def ring(self, queue: str, count: int = 1) -> None:
        """Wake as many waiting workers, as there are, for as many new jobs of a queue."""
        ...

    async def wait_for_ring(self, queues: Sequence[str], seconds: float) -> bool:
        """Wait until a ring for one of these queues, or so long; tell whether it rang."""
        ...

    async def tell(self, jobs: Sequence[str]) -> None:
        """Tell all who follow changes that jobs have changed."""
        ...

    def changes(self) -> AsyncIterator[str]:
        """Follow changes: the ids of jobs that changed in any process, from now on."""
        ...
