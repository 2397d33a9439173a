"""Debian's rabbitmq-server, with an epmd of its own: nothing that runs on the machine is met."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from servers.process import HOST, Server, free_port
from servers.tls import Tls

MISSING: Final = "there is no rabbitmq-server: apt-get install rabbitmq-server"
# The programs of the same names in /usr/sbin run as another user, on the data of the service.
_PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")
_CONFIGURATION: Final = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
loopback_users = none
disk_free_limit.absolute = 10MB
log.file = false
log.console = true
log.console.level = warning
"""
_SECURE: Final = """\
listeners.ssl.1 = {host}:{port}
ssl_options.certfile = {tls.certificate}
ssl_options.keyfile = {tls.key}
ssl_options.cacertfile = {tls.authority}
ssl_options.verify = verify_none
"""
# Few threads, none of which turns while there is nothing to do.
_SMALL: Final = "+S 2:2 +A 8 +sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitMQ(Server):
    """A RabbitMQ of one node, whose virtual host is `/`.

    tls: has it listen by TLS too: `tls_url`.
    """

    user_name: Final = "onecopy"
    password: Final = "open-sesame"

    def __init__(self, folder: Path, *, tls: Tls | None = None) -> None:
        super().__init__(folder)
        self._tls = tls
        self._tls_port = free_port()
        self._epmd_port = free_port()
        self._node_port = free_port()

    @property
    def url(self) -> str:
        """Its first virtual host."""
        return f"amqp://{self.user_name}:{self.password}@{HOST}:{self.port}/%2F"

    @property
    def tls_url(self) -> str:
        """Its first virtual host, by TLS."""
        return f"amqps://{self.user_name}:{self.password}@{HOST}:{self._tls_port}/%2F"

    def missing(self) -> str | None:
        """Erlang comes with it."""
        return MISSING if shutil.which("rabbitmq-server", path=_PROGRAMS) is None else None

    def prepare(self) -> None:
        """Write its configuration."""
        configuration = _CONFIGURATION.format(
            host=HOST, port=self.port, user=self.user_name, password=self.password
        )
        if self._tls is not None:
            configuration += _SECURE.format(host=HOST, port=self._tls_port, tls=self._tls)
        (self.folder / "rabbitmq.conf").write_text(configuration)
        (self.folder / "plugins").write_text("[].\n")

    def command(self) -> Sequence[str]:
        """The epmd is in its group of processes, and ends with it; Erlang's own would stay."""
        return ["sh", "-c", f"epmd -relaxed_command_check & exec {_PROGRAMS}/rabbitmq-server"]

    def environment(self) -> Mapping[str, str]:
        """Every path and port is its own."""
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_NODENAME": f"onecopy-{self.port}@localhost",
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SCHEMA_DIR": str(self.folder / "schema"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"{_SMALL} -kernel inet_dist_use_interface {{127,0,0,1}}"
            ),
        }

    def ask(self) -> bool:
        """It greets whoever sends the header of the protocol, once it has booted."""
        with socket.create_connection((HOST, self.port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"

    def virtual_host(self, name: str) -> str:
        """Add a virtual host, and return its URL."""
        self.control("add_vhost", name)
        self.control("set_permissions", "-p", name, self.user_name, ".*", ".*", ".*")
        return f"{self.url.removesuffix('%2F')}{name}"

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl` on it, and return what that says."""
        environment = {**os.environ, **self.environment()}
        return subprocess.run(
            [_PROGRAMS / "rabbitmqctl", "--quiet", *words],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
