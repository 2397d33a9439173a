"""What a URL says of a RabbitMQ: `amqp://user:password@host:port/vhost`, or `amqps://`."""

from typing import Final, NamedTuple

from yarl import URL

from onecopy.errors import OptionError

_LIKE: Final = "it would be amqp://user:password@host/vhost"
_PORTS: Final = {"amqp": 5672, "amqps": 5671}


class Address(NamedTuple):
    """Where it is, and the prefix of the names of our queues there."""

    url: URL
    prefix: str

    @property
    def broker(self) -> str:
        """Its name in the log."""
        return f"RabbitMQ at {self.url.host}:{self.url.port}"


def parse(url: str) -> Address:
    """Read a URL.

    In its query: `prefix` (`onecopy`), `heartbeat` in seconds (10), `cafile` of an authority.
    Raises OptionError.
    """
    try:
        address = URL(url)
        port = address.explicit_port or _PORTS[address.scheme]
    except (KeyError, ValueError) as error:
        raise OptionError("engine", f"it is no URL of RabbitMQ; {_LIKE}") from error
    if not address.host:
        raise OptionError("engine", f"its URL names no host; {_LIKE}")
    prefix = address.query.get("prefix", "onecopy")
    heartbeat = address.query.get("heartbeat", "10")
    plain = address.with_port(port).without_query_params("prefix")
    return Address(plain.update_query(heartbeat=heartbeat), prefix)
