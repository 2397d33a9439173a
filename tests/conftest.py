import pytest

from onecopy.datasets import registry


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test defines its datasets in an empty registry."""
    monkeypatch.setattr(registry, "_datasets", {})
    monkeypatch.setattr(registry, "_warmers", [])
