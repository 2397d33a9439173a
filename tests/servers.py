"""Servers for tests: each kind is started once for a session, when a test first asks for it.

A test that kills its server, or wants other options, starts one of its own by `started`.
"""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from servers.kafka import Kafka
from servers.postgres import Postgres
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from servers.tls import Tls
from tests.certificates import issue


@contextmanager
def started[S: Server](server: S) -> Generator[S]:
    """Run a server until the block ends. Without its programs the test is skipped; in CI it fails.

    The block may have stopped it, killed it, started it again.
    """
    must_be_installed(server)
    with server:
        yield server


def must_be_installed(server: Server) -> None:
    """Skip the test if the programs of a server are missing; in CI, fail it."""
    if (reason := server.missing()) is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """What servers show that speak TLS, by an authority that nobody knows."""
    return issue(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Generator[Redis]:
    """A Redis that all tests share: each keeps to a prefix, or a channel, of its own."""
    with started(Redis(tmp_path_factory.mktemp("servers") / "redis", tls=tls)) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Generator[RabbitMQ]:
    """A RabbitMQ that all tests share: each has a prefix of its own."""
    with started(RabbitMQ(tmp_path_factory.mktemp("servers") / "rabbitmq", tls=tls)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Postgres]:
    """A PostgreSQL that all tests share: each keeps to a schema of its own."""
    with started(Postgres(tmp_path_factory.mktemp("servers") / "postgres")) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """The URL of a store that is this test's own."""
    return f"{postgres_server.url}?schema=test_{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Generator[Kafka]:
    """A Kafka that all tests share: each has a topic of its own."""
    with started(Kafka(tmp_path_factory.mktemp("servers") / "kafka", tls=tls)) as server:
        yield server
