import signal

import pytest

from onecopy.datasets import registry

pytest_plugins = ["tests.servers"]


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
