"""What `onecopy doctor` says of brokers."""

import sys
from collections.abc import Mapping
from concurrent.futures import Future
from typing import cast
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from onecopy.cli.checks import Check
from onecopy.cli.engine_checks import engine_checks
from servers.kafka import Kafka
from tests.running import DEADLINE

VARIABLES = ("ONECOPY_ENGINE", "ONECOPY_RABBITMQ", "ONECOPY_KAFKA")


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def check(monkeypatch: pytest.MonkeyPatch, url: str, variable: str = "ONECOPY_ENGINE") -> Check:
    """Return the one thing that is said of a URL."""
    monkeypatch.setenv(variable, url)
    (found,) = engine_checks()
    return found


def make_topic(server: Kafka, name: str, config: Mapping[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    new = NewTopic(name, num_partitions=1, config=dict(config))
    made = cast("dict[str, Future[None]]", admin.create_topics([new]))  # pyright: ignore[reportUnknownMemberType]
    made[name].result(DEADLINE)


def test_nothing_is_said_where_no_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(engine_checks()) == []
    monkeypatch.setenv("ONECOPY_ENGINE", "local:")
    assert list(engine_checks()) == []


def test_kafka_that_answers(kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"kafka://{kafka_server.bootstrap}/{uuid4()}"
    found = check(monkeypatch, url)
    assert (found.name, found.verdict) == ("engine", "ok")
    monkeypatch.setenv("ONECOPY_KAFKA", url)
    assert len(list(engine_checks())) == 1, "the same broker is asked once"
    monkeypatch.delenv("ONECOPY_ENGINE")
    (found,) = engine_checks()
    assert (found.name, found.verdict) == ("Kafka", "ok")


def test_kafka_that_loses_messages(kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"kafka://{kafka_server.bootstrap}/{uuid4()}"
    make_topic(kafka_server, url.rpartition("/")[2], {})
    found = check(monkeypatch, url)
    assert found.verdict == "warning"
    assert "keeps one copy of the topic" in found.found
    assert "more replicas" in str(found.cure)
    found = check(monkeypatch, f"{url}?replication=3")
    assert (
        found.found == "its broker has 1 node, and replication=3 is asked for: no topic can be made"
    )
    url = f"kafka://{kafka_server.bootstrap}/{uuid4()}"
    make_topic(kafka_server, url.rpartition("/")[2], {"min.insync.replicas": "2"})
    monkeypatch.setenv("ONECOPY_ENGINE", url)
    assert any("takes no message" in each.found for each in engine_checks())


@pytest.mark.parametrize("scheme", ["kafka", "celery+redis", "celery+amqp"])
def test_who_does_not_answer_is_a_problem(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "?security.protocol=SASL_PLAINTEXT" if scheme == "kafka" else ""
    found = check(monkeypatch, f"{scheme}://somebody:secret-word@127.0.0.1:1/0{plain}")
    assert found.verdict == "problem"
    assert "127.0.0.1:1" in found.found
    assert "cannot be reached" in found.found
    assert "refused" in found.found
    assert "ONECOPY_ENGINE" in str(found.cure)
    assert "secret-word" not in str(found)


def test_what_is_no_url_and_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(monkeypatch, "kafka://host/?partitions=x")
    assert (found.verdict, found.cure) == ("problem", "set ONECOPY_ENGINE right")
    monkeypatch.delitem(sys.modules, "onecopy.engines.kafka_concerns")
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    found = check(monkeypatch, "kafka://host/")
    assert "pip install 'onecopy[kafka]'" in found.found
