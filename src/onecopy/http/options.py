"""What `shared.install` was told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How the routes behave.

    prefix: of their paths. body_limit: bytes of a body that asks for a job. longest_wait: seconds
    that `Prefer: wait` is obeyed for.
    """

    prefix: str = "/jobs"
    body_limit: int = 10 * 1024 * 1024
    longest_wait: float = 60.0
