"""Ordering keys from end to end, by the servers of other stores and engines."""

from pathlib import Path

from servers.kafka import Kafka
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from tests.running import service
from tests.server.ordered import APP, run_in_order


def _run(folder: Path, environment: dict[str, str]) -> None:
    (folder / "app.py").write_text(APP)
    options = ["app:app", "--workers", "1", "--job-workers", "3", "--no-access-log"]
    with service(folder, *options, environment=environment) as run:
        run_in_order(run)


def test_redis(tmp_path: Path, redis_server: Redis) -> None:
    _run(tmp_path, {"ONECOPY_STORE": f"{redis_server.url}?prefix={tmp_path.name}"})


def test_postgres(tmp_path: Path, postgres_url: str) -> None:
    _run(tmp_path, {"ONECOPY_STORE": postgres_url})


def test_rabbitmq(tmp_path: Path, rabbitmq_server: RabbitMQ) -> None:
    _run(tmp_path, {"ONECOPY_ENGINE": f"{rabbitmq_server.url}?prefix={tmp_path.name}"})


def test_kafka(tmp_path: Path, kafka_server: Kafka) -> None:
    _run(tmp_path, {"ONECOPY_ENGINE": f"kafka://{kafka_server.bootstrap}/{tmp_path.name}"})
