"""What `shared.install` was told."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How the routes behave.

    prefix: of their paths. body_limit: bytes of a body that asks for a job. longest_wait: seconds
    that `Prefer: wait` is obeyed for. origins: of pages that may open WebSockets, besides those of
    the same host.
    """

    prefix: str = "/jobs"
    body_limit: int = 10 * 1024 * 1024
    longest_wait: float = 60.0
    origins: Sequence[str] = ()
