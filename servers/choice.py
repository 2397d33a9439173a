"""Servers for a service that is to use a certain engine and store, by their short names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servers.kinds import KINDS
from servers.process import Server

STORES: Final = ("sqlite", "redis", "postgres")
_CELERY_ON: Final = {"celery": "redis", "celery-rabbitmq": "rabbitmq"}
"""The broker that Celery uses."""
ENGINES: Final = ("local", "redis", "postgres", "rabbitmq", "kafka", *_CELERY_ON)


class Unknown(Exception):
    """There is no engine or store of this name; the message says which there are."""


@dataclass(frozen=True)
class Choice:
    """What was started: the servers by name, and the variables by which a service finds them."""

    servers: dict[str, Server]
    variables: dict[str, str]


@contextmanager
def chosen(
    engine: str | None, store: str | None, tell: Callable[[str], None] = lambda name: None
) -> Generator[Choice]:
    """Start what these need, and stop it at the end; None: the default, which needs nothing.

    tell: is called with the name of each server before it is started.

    Raises Missing, NotReady, Unknown.
    """
    _must_be_one_of("engine", engine, ENGINES)
    _must_be_one_of("store", store, STORES)
    broker = _CELERY_ON.get(engine or "", engine)
    with ExitStack() as running:
        servers: dict[str, Server] = {}
        for name in sorted({name for name in (broker, store) if name in KINDS}):
            tell(name)
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix="onecopy-servers-"))
            Path(folder).chmod(0o755)  # a server that does not run as root has its data in there
            servers[name] = running.enter_context(KINDS[name](Path(folder) / name))
        yield Choice(servers, _variables(engine, broker, store, servers))


def _must_be_one_of(what: str, name: str | None, names: tuple[str, ...]) -> None:
    if name is not None and name not in names:
        raise Unknown(f"there is no {what} {name!r}: it is one of {', '.join(names)}")


def _variables(
    engine: str | None, broker: str | None, store: str | None, servers: dict[str, Server]
) -> dict[str, str]:
    found: dict[str, str] = {}
    if store in servers:
        found["ONECOPY_STORE"] = servers[store].url
    if broker in servers:
        found["ONECOPY_ENGINE"] = ("celery+" if engine in _CELERY_ON else "") + servers[broker].url
    elif engine is not None:
        found["ONECOPY_ENGINE"] = f"{engine}:"
    return found
