"""A Kafka of one node from Maven Central's jars, which are fetched once and kept in the cache."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from servers.process import HOST, NotReady, Server, free_port
from servers.tls import Tls

VERSION: Final = "4.2.0"
MISSING: Final = "there is no java or no mvn: apt-get install default-jre-headless maven"
_LOG4J: Final = "2.24.3"
_POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>onecopy</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY: Final = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)
_JARS: Final = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.logging.log4j", "log4j-core", _LOG4J),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", _LOG4J),
)
_CLUSTER: Final = "b25lY29weS1rYWZrYS0wMQ"
# A node that was killed is let in again once its session is over: a second, for tests. What a
# worker read that was killed is others' once that one's is: not the brokers' 45 seconds.
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}{secure}
advertised.listeners=PLAINTEXT://{host}:{advertised},CONTROLLER://{host}:{controller}{secure}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={folder}/data
auto.create.topics.enable=false
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=5000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
num.network.threads=1
num.io.threads=2
background.threads=2
log.cleaner.enable=false
"""
_SECURE: Final = """\
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""
_FORMAT: Final = ("format", "--standalone", "-t", _CLUSTER, "-c")
_FILE: Final = "server.properties"
_KEYSTORE: Final = "keystore.pem"
_SMALL: Final = ("-Xmx256m", "-Xms64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_FETCH: Final = 300.0
# A request for the versions of requests (18, version 0), number 1, of a client without a name.
_QUESTION: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class Kafka(Server):
    """A broker that is its own controller.

    properties: lines of its configuration besides, as in `["auto.create.topics.enable=true"]`.
    advertised: the port at which clients find it; its own, unless another one is set before it is
    started: what passes on to it from there meets all that they say, because they go where the
    broker sends them.
    tls: has it listen on one more port, `tls_port`, by TLS and for one user (SASL, PLAIN).
    """

    user_name: Final = "onecopy"
    password: Final = "open-sesame"

    def __init__(
        self, folder: Path, properties: Sequence[str] = (), *, tls: Tls | None = None
    ) -> None:
        super().__init__(folder)
        self._properties = properties
        self._tls = tls
        self.tls_port = free_port()
        self.advertised = self.port
        self._controller_port = free_port()

    @property
    def bootstrap(self) -> str:
        """Where clients find it, as they say."""
        return f"{HOST}:{self.advertised}"

    @property
    def url(self) -> str:
        """It, and a topic that is made when it is first used."""
        return f"kafka://{self.bootstrap}/onecopy"

    def missing(self) -> str | None:
        """Java and Maven, or the jars, if they cannot be fetched."""
        return _missing()

    def prepare(self) -> None:
        """Write its configuration, and format its data as a cluster of one."""
        configuration = _PROPERTIES.format(
            host=HOST,
            port=self.port,
            advertised=self.advertised,
            controller=self._controller_port,
            folder=self.folder,
            secure="" if self._tls is None else f",SASL_SSL://{HOST}:{self.tls_port}",
        )
        if self._tls is not None:
            configuration += self._secure(self._tls)
        (self.folder / _FILE).write_text(configuration + "\n".join(self._properties))
        formatted = subprocess.run(
            [*self._java("kafka.tools.StorageTool"), *_FORMAT, str(self.folder / _FILE)],
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode:
            raise NotReady(formatted.stdout + formatted.stderr)

    def _secure(self, tls: Tls) -> str:
        keystore = self.folder / _KEYSTORE
        keystore.write_text(tls.key.read_text() + tls.certificate.read_text())
        return _SECURE.format(user=self.user_name, password=self.password, keystore=keystore)

    def command(self) -> Sequence[str]:
        """What it logs, but for errors, is not kept."""
        return [*self._java("kafka.Kafka"), str(self.folder / _FILE)]

    def _java(self, main: str) -> list[str]:
        return ["java", *_SMALL, "-cp", f"{_jars()}/*", main]

    def ask(self) -> bool:
        """It answers which requests it knows."""
        with socket.create_connection((HOST, self.port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(_QUESTION)
            return len(connection.recv(8)) == 8


def _jars() -> Path:
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cached) / "onecopy-servers" / f"kafka-{VERSION}"


@cache
def _missing() -> str | None:
    if _jars().is_dir():
        return None if shutil.which("java") else MISSING
    if not (shutil.which("java") and shutil.which("mvn")):
        return MISSING
    return _fetch()


def _fetch() -> str | None:
    """Fetch the jars; say why if that cannot be done."""
    _jars().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_jars().parent) as name:
        folder = Path(name)
        dependencies = "".join(_DEPENDENCY.format(*jar) for jar in _JARS)
        (folder / "pom.xml").write_text(_POM.format(dependencies=dependencies))
        words = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        try:
            subprocess.run(
                words, cwd=folder, capture_output=True, text=True, check=True, timeout=_FETCH
            )
            (folder / "jars").rename(_jars())
        except subprocess.SubprocessError as error:
            said = getattr(error, "stdout", None) or str(error)
            return f"Kafka's jars cannot be fetched: {str(said)[-1000:]}"
        except OSError:  # Somebody else was faster.
            return None if _jars().is_dir() else f"Kafka's jars cannot be kept in {_jars()}"
    return None
