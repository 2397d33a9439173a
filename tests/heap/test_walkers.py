"""Objects of extension modules: those that show what they hold, and those that must be asked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.heap import alone, building
from tests.heap.scenarios import registry


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hidden")
    building.compile_extension([Path(__file__).parent / "native" / "hidden.c"], "hidden", folder)
    return folder


@pytest.mark.parametrize(
    "scenario", alone.scenarios_of(registry), ids=lambda scenario: scenario.__name__
)
def test_objects_of_extension_modules(scenario: Callable[[], None], hidden: Path) -> None:
    alone.run(scenario, env={"PYTHONPATH": str(hidden)})
