"""The Kafka engine on a real Kafka."""

from pathlib import Path
from uuid import uuid4

import pytest

from onecopy.engines.kafka import KafkaEngine
from onecopy.engines.local import LocalEngine
from onecopy.testing import EngineContract
from onecopy.testing._engines import Connect
from servers.kafka import Kafka


class TestKafkaEngine(EngineContract):
    @pytest.fixture
    def connect(self, kafka_server: Kafka, tmp_path: Path) -> Connect:
        url = f"kafka://{kafka_server.bootstrap}/test-{uuid4()}?partitions=2"
        return lambda: KafkaEngine(url, LocalEngine(str(tmp_path)))
