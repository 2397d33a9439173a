"""What is subscribed to, and the task that its jobs are of."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from onecopy.errors import DeclarationError
from onecopy.tasks import Task

type Broker = Literal["rabbitmq", "kafka"]
type Where = Callable[[Any], bool]
type Key = Callable[[Any], str]

_BROKERS: Final[tuple[Broker, ...]] = get_args(Broker.__value__)
_SCHEMES: Final[dict[Broker, tuple[str, ...]]] = {
    "rabbitmq": ("amqp", "amqps"),
    "kafka": ("kafka",),
}
_ENGINE: Final = "ONECOPY_ENGINE"


@dataclass(frozen=True)
class Subscription:
    """A queue or topic whose messages become jobs.

    name: of the queue or topic. where: whether a message's data is of interest. key: of its data,
    what tells a message that comes again. url: of the broker; None: what the environment says.
    """

    broker: Broker
    name: str
    task: Task[..., Any]
    where: Where | None
    key: Key | None
    url: str | None

    @classmethod
    def of(
        cls,
        source: str,
        task: Task[..., Any],
        where: Where | None,
        key: Key | None,
        url: str | None,
    ) -> "Subscription":
        """Read `rabbitmq:orders`. Raises DeclarationError."""
        broker, _, name = source.partition(":")
        if broker not in _BROKERS or not name:
            reason = f"it cannot be subscribed to {source!r}; one would be rabbitmq:orders"
            raise DeclarationError(task.name, None, reason)
        return cls(broker, name, task, where, key, url)

    def __str__(self) -> str:
        return f"{self.broker}:{self.name}"

    def address(self) -> str | None:
        """Return the broker's URL; None if none is set.

        It is `url`, or that of ONECOPY_RABBITMQ or ONECOPY_KAFKA, or the engine's if that is one.
        """
        engine = os.environ.get(_ENGINE, "")
        if engine.partition(":")[0] not in _SCHEMES[self.broker]:
            engine = ""
        return self.url or os.environ.get(self.variable) or engine or None

    @property
    def variable(self) -> str:
        """The variable that names the broker."""
        return f"ONECOPY_{self.broker.upper()}"
