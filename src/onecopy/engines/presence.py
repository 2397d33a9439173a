"""Whether a broker is there, said once when it goes and once when it is back."""

import logging
import threading
from typing import Final

_logger: Final = logging.getLogger("onecopy.engine")


class Presence:
    """What one process knows of a broker; several connections may tell of it, in any thread."""

    def __init__(self, broker: str) -> None:
        """broker: its name in the log, without a password."""
        self.broker = broker
        self._away: set[str] = set()
        self._lock = threading.Lock()

    @property
    def away(self) -> bool:
        """Whether a connection is lost, or could not be had."""
        return bool(self._away)

    def gone(self, connection: str, reason: str) -> None:
        """Hear that a connection is lost, or cannot be had."""
        with self._lock:
            first = not self._away
            self._away.add(connection)
        if first:
            _logger.error(
                "%s: %s. Jobs are accepted all the same, and workers find them in the store within "
                "a second or so, until it is back",
                self.broker,
                reason.rstrip("."),
            )

    def there(self, connection: str) -> None:
        """Hear that a connection is there."""
        with self._lock:
            last = self._away == {connection}
            self._away.discard(connection)
        if last:
            _logger.warning("%s is back", self.broker)
