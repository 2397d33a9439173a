"""What is measured: each engine with the stores that go with it, and peers on the same servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.jobs.apps import seam
from benchmarks.processes import BIN, program, shown
from servers.kafka import Kafka
from servers.postgres import Postgres
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis

_APPS: Final = "benchmarks.jobs.apps"
_ONECOPY: Final = f"{_APPS}.onecopy_sync"

SERVERS: Final[dict[str, Callable[[Path], Server]]] = {
    # As most have it who use it as a broker: it forgets.
    "redis": lambda folder: Redis(folder, options=("--databases", "64")),
    # What it answers is on the disk, as with the other stores.
    "durable redis": Redis,
    "postgres": Postgres,
    "rabbitmq": RabbitMQ,
    "kafka": Kafka,
}


@dataclass(frozen=True)
class Peer:
    """One worker process; app: its module in `benchmarks.jobs.apps`.

    environment: its variables, with the names of servers in braces in the place of their URLs.
    """

    name: str
    app: str
    command: tuple[str, ...]
    servers: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    packages: tuple[str, ...] = ()
    celery: str = ""
    """Which bare Celery it is beside."""

    @property
    def shown(self) -> str:
        """The command as a user would type it."""
        return shown(self.command)

    def missing(self) -> str | None:
        """What has to be installed before this one can be measured; None if nothing."""
        absent = [package for package in self.packages if find_spec(package) is None]
        if absent:
            return f"{', '.join(absent)} not installed: make bench-engines installs it"
        reasons = (SERVERS[name](Path()).missing() for name in self.servers)
        return next((reason for reason in reasons if reason is not None), None)

    @contextlib.contextmanager
    def running(self, folder: Path, urls: Mapping[str, str]) -> Generator[dict[str, str]]:
        """Run its worker in a folder; yields the environment that its clients need."""
        environment = {seam.FOLDER: str(folder)}
        for name, value in self.environment.items():
            environment[name] = value.format(**{key.replace(" ", "_"): urls[key] for key in urls})
        worker = environment | {"BENCHMARK_WORKER": "1"}
        with program(self.command, folder, lambda _: True, worker):
            yield environment


def _worker(name: str, servers: tuple[str, ...], **environment: str) -> Peer:
    command = (str(BIN / "onecopy"), "worker", f"{_ONECOPY}:app", "--workers", "1")
    return Peer(name, "onecopy_sync", command, servers, environment)


def _celery(app: str) -> tuple[str, ...]:
    return (str(BIN / "celery"), "-A", app, "worker", "-c", "2")


def _celery_worker(name: str, broker: str, servers: tuple[str, ...] = (), **more: str) -> Peer:
    command = _celery(f"{_ONECOPY}:shared.celery")
    environment = {"ONECOPY_ENGINE": f"celery+{{{broker}}}", **more}
    bare = f"Celery, {'Redis' if broker == 'redis' else 'RabbitMQ'}"
    return Peer(name, "onecopy_sync", command, (broker, *servers), environment, celery=bare)


def _bare_celery(name: str, broker: str) -> Peer:
    command = _celery(f"{_APPS}.celery_app")
    environment = {seam.BROKER: f"{{{broker}}}", seam.REDIS: "{redis}"}
    return Peer(name, "celery_app", command, (broker, "redis"), environment, ("celery",))


def _faststream(name: str, app: str, broker: str, packages: tuple[str, ...], url: str) -> Peer:
    command = (str(BIN / "python"), "-m", f"{_APPS}.{app}")
    return Peer(name, app, command, (broker,), {seam.BROKER: url}, ("faststream", *packages))


PEERS: Final = (
    _worker("onecopy, local, SQLite", ()),
    _worker("onecopy, redis, Redis", ("durable redis",), ONECOPY_STORE="{durable_redis}"),
    _worker("onecopy, postgres, PostgreSQL", ("postgres",), ONECOPY_STORE="{postgres}"),
    _worker("onecopy, rabbitmq, SQLite", ("rabbitmq",), ONECOPY_ENGINE="{rabbitmq}"),
    _worker("onecopy, kafka, SQLite", ("kafka",), ONECOPY_ENGINE="{kafka}"),
    _celery_worker("onecopy, celery (Redis), SQLite", "redis"),
    # As durable as the results that bare Celery has in Redis: they survive no power cut.
    _celery_worker(
        "onecopy, celery (Redis), SQLite synchronous=normal",
        "redis",
        ONECOPY_STORE="sqlite:///jobs.db?synchronous=normal",
    ),
    _celery_worker("onecopy, celery (Redis), Redis", "redis", ONECOPY_STORE="{redis}"),
    _celery_worker("onecopy, celery (RabbitMQ), SQLite", "rabbitmq"),
    _celery_worker(
        "onecopy, celery (RabbitMQ), SQLite synchronous=normal",
        "rabbitmq",
        ONECOPY_STORE="sqlite:///jobs.db?synchronous=normal",
    ),
    _celery_worker(
        "onecopy, celery (RabbitMQ), Redis", "rabbitmq", ("redis",), ONECOPY_STORE="{redis}"
    ),
    _bare_celery("Celery, Redis", "redis"),
    _bare_celery("Celery, RabbitMQ", "rabbitmq"),
    Peer(
        "taskiq, Redis",
        "taskiq_redis",
        (
            str(BIN / "taskiq"),
            *("worker", f"{_APPS}.taskiq_redis:broker", "--workers", "1"),
            *("--log-level", "WARNING"),
        ),
        ("redis",),
        {seam.REDIS: "{redis}"},
        ("taskiq", "taskiq_redis"),
    ),
    _faststream(
        "FastStream, RabbitMQ", "faststream_rabbitmq", "rabbitmq", ("aio_pika",), "{rabbitmq}"
    ),
    _faststream("FastStream, Kafka", "faststream_kafka", "kafka", ("confluent_kafka",), "{kafka}"),
)
