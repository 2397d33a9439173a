import signal

import pytest

from onecopy.datasets import registry
from servers.process import free_port

pytest_plugins = ["tests.servers", "tests.ways"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start servers: `-m "not servers"` leaves them out."""
    for item in items:
        if isinstance(item, pytest.Function) and _starts_servers(item):
            item.add_marker("servers")


def _starts_servers(item: pytest.Function) -> bool:
    kinds = ("redis", "postgres", "rabbitmq", "kafka")
    if {"way", *(f"{kind}_server" for kind in kinds)} & {*item.fixturenames}:
        return True
    used = [value for value in vars(item.module).values() if value is not free_port]
    origins = (getattr(value, "__module__", None) or "" for value in used)
    return any(origin == "tests.servers" or origin.startswith("servers.") for origin in origins)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test defines its datasets in an empty registry."""
    monkeypatch.setattr(registry, "_datasets", {})
    monkeypatch.setattr(registry, "_warmers", [])


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heeded() -> None:
    """A shell that starts pytest in the background has Ctrl-C ignored; services inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
