"""The RabbitMQ engine on a real RabbitMQ."""

from pathlib import Path
from uuid import uuid4

import pytest

from onecopy.engines.local import LocalEngine
from onecopy.engines.rabbitmq import RabbitMQEngine
from onecopy.testing import EngineContract
from onecopy.testing._engines import Connect
from servers.rabbitmq import RabbitMQ


class TestRabbitMQEngine(EngineContract):
    @pytest.fixture
    def connect(self, rabbitmq_server: RabbitMQ, tmp_path: Path) -> Connect:
        url = f"{rabbitmq_server.url}?prefix=test-{uuid4()}"
        return lambda: RabbitMQEngine(url, LocalEngine(str(tmp_path)))
