"""Requests to a service that are sent again while it is away. All of them may be repeated."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx

from onecopy.errors import RequestRefused, ServiceUnreachable

AWAY: Final = frozenset({429, 502, 503, 504})
"""Statuses that say: not now."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class Patience:
    """How long to go on trying, and when to try again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the failures so far: the service has answered."""
        self._until = time.monotonic() + self._seconds
        self._pause = _FIRST_PAUSE

    async def wait(self, wanted: float | None = None) -> bool:
        """Wait until the next try; tell whether there is to be one.

        wanted: seconds that the service asks to wait; None: a little longer each time.
        """
        pause = self._pause * random.uniform(0.5, 1.0) if wanted is None else wanted
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        return True


async def send(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    patience: float,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    wait: float = 0.0,
) -> httpx.Response:
    """Send a request, again while the service is away, and return its answer.

    patience: seconds to go on for. wait: seconds that the service is asked to take.

    Raises ServiceUnreachable.
    """
    tries = Patience(patience)
    timeout = httpx.Timeout(http.timeout.connect, read=(http.timeout.read or 0) + wait)
    while True:
        asked: float | None = None
        try:
            response = await http.request(
                method, url, headers=headers, content=content, timeout=timeout
            )
            if response.status_code not in AWAY:
                return response
            reason = f"it answers {response.status_code}"
            asked = retry_after(response)
        except httpx.TransportError as error:
            reason = in_words(error)
        if not await tries.wait(asked):
            raise ServiceUnreachable(url, reason)


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that an answer asks to wait; None if it does not say so."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() and len(text) < 6 else None


def in_words(error: httpx.TransportError) -> str:
    """Say what is wrong with a connection."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def refused(response: httpx.Response) -> RequestRefused:
    """Return the error for an answer that is none of those expected."""
    problem: dict[str, Any] = {}
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        said: object = response.json()
        if isinstance(said, dict):
            problem = cast(dict[str, Any], said)
    return RequestRefused(str(response.url), response.status_code, problem)
