"""Whether the broker of a Celery app answers."""

import asyncio
from typing import Any, Final

from onecopy.engines.celery_app import app_of

_PATIENCE: Final = 5.0


async def concerns(url: str) -> list[str]:
    """Connect; nothing more is known of it. Raises OSError, OptionError."""
    await asyncio.to_thread(_connect, url)
    return []


def _connect(url: str) -> None:
    with app_of(url).connection_for_write(connect_timeout=_PATIENCE) as connection:
        broker: Any = connection
        try:
            broker.ensure_connection(max_retries=1, timeout=_PATIENCE)
        except Exception as error:  # Each transport raises its own.
            # `as_uri` leaves the password out.
            raise OSError(f"{broker.as_uri()} cannot be reached: {error}") from error
