"""The Celery engine between a web tier and `onecopy worker`, with real brokers."""

import socket
import time
import uuid
from pathlib import Path
from typing import Any, cast

import pytest

from onecopy.engines import Rung
from onecopy.engines.celery import CeleryEngine
from onecopy.engines.celery_app import app_of
from onecopy.engines.local import LocalEngine
from onecopy.testing import EngineContract
from onecopy.testing._engines import LONG, Connect, due_job, hear, opened, run, until
from servers.process import HOST
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from servers.tls import Tls
from tests.engines.refusals import said_of_refusal


class TestCeleryEngineWithRedis(EngineContract):
    @pytest.fixture
    def connect(self, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Connect:
        folder = str(tmp_path_factory.mktemp("state"))
        app = app_of(f"celery+{redis_server.url}")
        app.conf.broker_transport_options = {"global_keyprefix": uuid.uuid4().hex}
        return lambda: CeleryEngine(app, LocalEngine(folder))


class TestCeleryEngineWithRabbitMQ(EngineContract):
    @pytest.fixture
    def connect(
        self, rabbitmq_server: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
    ) -> Connect:
        folder = str(tmp_path_factory.mktemp("state"))
        app = app_of(f"celery+{rabbitmq_server.url}")
        with app.connection_for_write() as connection:
            for queue in ("default", "slow", "a queue that nobody has"):
                cast("Any", connection.default_channel).queue_delete(queue)
        return lambda: CeleryEngine(app, LocalEngine(folder))


def _secure(server: Redis, options: str) -> str:
    """The URL of a broker by TLS, in a database that no other test uses."""
    return f"celery+{server.tls_url.removesuffix('/0')}/7?{options}"


def test_an_authority_that_is_unknown_is_said_once_and_no_password(
    redis_server: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = _secure(redis_server, "ssl_cert_reqs=required")
    app = app_of(url.replace("rediss://", "rediss://:secret-word@"))
    line = said_of_refusal(lambda own: CeleryEngine(app, own), tmp_path, caplog)
    assert "certificate verify failed" in line
    assert "secret-word" not in caplog.text


def test_an_authority_that_is_named(redis_server: Redis, tls: Tls, tmp_path: Path) -> None:
    app = app_of(_secure(redis_server, f"ssl_ca_certs={tls.authority}"))

    async def scenario() -> None:
        async with opened(lambda: CeleryEngine(app, LocalEngine(str(tmp_path))), 2) as engines:
            job = due_job()
            await engines[0].ring([job])
            assert await hear(engines[1], 1) == [Rung(job.id, job.task)]

    run(scenario)


def test_a_redis_that_says_nothing_from_the_start_is_said_to_be_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its client waits for good, if it is not told otherwise."""
    with socket.create_server((HOST, 0)) as silent:
        app = app_of(f"celery+redis://{HOST}:{silent.getsockname()[1]}/0")

        async def scenario() -> None:
            engine = CeleryEngine(app, LocalEngine(str(tmp_path)))
            await engine.open()
            await engine.ring([due_job()])
            assert await engine.wait_for_ring(["default"], 0.1) is None
            await until(lambda: "until it is back" in caplog.text)
            began = time.monotonic()
            await engine.close()
            assert time.monotonic() - began < LONG

        run(scenario)
