"""The Celery engine between a web tier and `onecopy worker`, with real brokers."""

import uuid
from typing import Any, cast

import pytest

from onecopy.engines.celery import CeleryEngine
from onecopy.engines.celery_app import app_of
from onecopy.engines.local import LocalEngine
from onecopy.testing import EngineContract
from onecopy.testing._engines import Connect
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis


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
