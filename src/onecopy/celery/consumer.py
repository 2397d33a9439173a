"""What receives messages in Celery's main process, and survives what would end that one.

Celery (5.7) closes a lost connection twice. Where the first time was cut short, as it is if the
broker dies in the middle of an answer, the second one gives back what was not acknowledged, for
which kombu asks a connection that is gone for its address: an AttributeError, and the worker ends.
What it had taken ahead of time is not lost by going on: it is in the store, and is published again.

A message may name a task by what cannot be a key of a dict, such as a list: a TypeError.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from celery.worker.consumer import Consumer

if TYPE_CHECKING:
    from celery import Celery

_CELERYS_OWN: Final = "celery.worker.consumer:Consumer"
_logger = logging.getLogger("celery.onecopy")


def install(app: Celery) -> None:
    """Have the worker of an app use it, unless the app has chosen a consumer of its own."""
    if app.conf.worker_consumer == _CELERYS_OWN:
        app.conf.worker_consumer = f"{__name__}:{Lasting.__name__}"


class _Strategies(dict[Any, Any]):
    """What is to be done with a message, by the name of its task, which may be anything."""

    def __getitem__(self, name: object) -> Any:  # noqa: ANN401  Celery's
        try:
            return super().__getitem__(name)
        except TypeError:
            raise KeyError(str(name)) from None


class Lasting(Consumer):
    """Celery's consumer, which goes on."""

    Strategies = _Strategies

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what is left of the connection, come what may."""
        connection: Any = self.connection
        connection.close = _whatever_comes(connection.close)
        super().on_connection_error_after_connected(exc)


def _whatever_comes(close: Callable[[], None]) -> Callable[[], None]:
    def closed() -> None:
        try:
            close()
        except Exception:
            _logger.debug("a lost connection to the broker was not closed", exc_info=True)

    return closed
