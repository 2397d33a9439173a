"""The ways to the servers of engines, by proxies: where tests harm what engines say and hear."""

import secrets
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from servers.kafka import Kafka
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from tests.proxy import Proxy
from tests.servers import started

ENGINES: Final = ("redis", "postgres", "rabbitmq", "kafka", "celery-redis", "celery-rabbitmq")
"""Those whose rings go through a network."""
CELERY: Final = ("celery-redis", "celery-rabbitmq")
HARMS: Final = ("drop_answers", "truncate_answers", "drop_questions", "delay", "cut", "go_away")
"""What a proxy can do to connections."""
_OWN_DATABASE: Final = "/8"
"""Of Redis: Celery's queues there have names that every test would use."""


@dataclass(frozen=True)
class Way:
    """The way to an engine's server; what goes there meets nothing of other tests.

    url: the engine's, by the proxy.
    """

    engine: str
    proxy: Proxy
    url: str

    def harm(self, what: str) -> Callable[[], bool]:
        """Harm the connections there are, and the next ones; return whether it was felt."""
        proxy, connections, pieces = self.proxy, self.proxy.connections, self.proxy.pieces
        match what:
            case "cut":
                proxy.cut()  # One of two: the other may be on its way, and counted.
                return lambda: proxy.connections > connections
            case "go_away":
                proxy.go_away()
            case "delay":
                proxy.delay = 0.1
                return lambda: proxy.pieces > pieces + 4
            case _:
                setattr(proxy, what, 2)
                return lambda: getattr(proxy, what) <= 0 and proxy.connections > connections
        return lambda: proxy.connections > connections + 1

    def heal(self) -> None:
        """Harm nothing any more."""
        for what in ("drop_answers", "truncate_answers", "drop_questions", "delay"):
            setattr(self.proxy, what, 0)
        self.proxy.come_back()


@pytest.fixture(scope="session")
def kafka_proxy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Proxy]:
    """What a Kafka of its own names to its clients as its address."""
    server = Kafka(tmp_path_factory.mktemp("servers") / "kafka")
    with Proxy(server.port) as proxy:
        server.advertised = proxy.port
        with started(server):
            yield proxy


@pytest.fixture(params=ENGINES)
def way(request: pytest.FixtureRequest) -> Generator[Way]:
    """A way to the server of each engine."""
    engine: str = request.param
    name = f"w{secrets.token_hex(6)}"
    if engine == "kafka":
        proxy: Proxy = request.getfixturevalue("kafka_proxy")
        found = Way(engine, proxy, f"kafka://{proxy.host}:{proxy.port}/{name}?partitions=2")
        yield found
        found.heal()
        return
    server = request.getfixturevalue(f"{engine.rpartition('-')[2]}_server")
    url = _URLS[engine](server, name)
    with Proxy(server.port) as proxy:
        yield Way(engine, proxy, url.replace(f":{server.port}/", f":{proxy.port}/"))


def _celery_on_redis(server: Redis, _: str) -> str:
    url = server.url.removesuffix("/0") + _OWN_DATABASE
    subprocess.run(["redis-cli", "-u", url, "flushdb"], check=True, capture_output=True)
    return f"celery+{url}"


def _celery_on_rabbitmq(server: RabbitMQ, name: str) -> str:
    return f"celery+{server.virtual_host(name)}"


_URLS: Final[dict[str, Callable[[Any, str], str]]] = {
    "redis": lambda server, name: f"{server.url}?prefix={name}",
    "postgres": lambda server, name: f"{server.url}?schema={name}",
    "rabbitmq": lambda server, name: f"{server.url}?prefix={name}",
    "celery-redis": _celery_on_redis,
    "celery-rabbitmq": _celery_on_rabbitmq,
}
