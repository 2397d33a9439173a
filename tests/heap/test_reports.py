"""The figures that a seal, `size` and a probe give."""

from collections.abc import Callable

import pytest

from tests.heap import alone
from tests.heap.scenarios import reports


@pytest.mark.parametrize(
    "scenario", alone.scenarios_of(reports), ids=lambda scenario: scenario.__name__
)
def test_what_is_told(scenario: Callable[[], None]) -> None:
    alone.run(scenario)
