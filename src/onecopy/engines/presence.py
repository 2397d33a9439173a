"""Whether a broker is there, said once when it goes and once when it is back."""

import logging
from typing import Final

_logger: Final = logging.getLogger("onecopy.engine")


class Presence:
    """What one process knows of a broker; several connections may tell of it."""

    def __init__(self, broker: str) -> None:
        """broker: its name in the log, without a password."""
        self.broker = broker
        self._away: set[str] = set()

    @property
    def away(self) -> bool:
        """Whether a connection is lost, or could not be had."""
        return bool(self._away)

    def gone(self, connection: str, reason: str) -> None:
        """Hear that a connection is lost, or cannot be had."""
        if not self._away:
            _logger.error(
                "%s: %s. Jobs are accepted all the same, and workers find them in the store within "
                "a second or so, until it is back",
                self.broker,
                reason.rstrip("."),
            )
        self._away.add(connection)

    def there(self, connection: str) -> None:
        """Hear that a connection is there."""
        if connection in self._away:
            self._away.discard(connection)
            if not self._away:
                _logger.warning("%s is back", self.broker)
