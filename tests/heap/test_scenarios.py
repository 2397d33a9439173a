"""Each hazard of sealing, tried in a process of its own that seals, forks, uses, and ends."""

from collections.abc import Callable

import pytest

from tests.heap import alone
from tests.heap.scenarios import caches, leave_alone, programs, reach


def name_of(scenario: Callable[[], None]) -> str:
    return scenario.__name__


@pytest.mark.parametrize("scenario", alone.scenarios_of(reach), ids=name_of)
def test_the_walk_reaches(scenario: Callable[[], None]) -> None:
    alone.run(scenario)


@pytest.mark.parametrize("scenario", alone.scenarios_of(leave_alone), ids=name_of)
def test_the_seal_leaves_alone(scenario: Callable[[], None]) -> None:
    alone.run(scenario)


@pytest.mark.parametrize("scenario", alone.scenarios_of(caches), ids=name_of)
def test_what_objects_remember_is_filled_before_the_fork(scenario: Callable[[], None]) -> None:
    alone.run(scenario)


@pytest.mark.parametrize("scenario", alone.scenarios_of(programs), ids=name_of)
def test_sealed_programs_go_on(scenario: Callable[[], None]) -> None:
    alone.run(scenario)


def test_a_program_without_the_small_object_allocator() -> None:
    alone.run(programs.without_the_small_object_allocator, env={"PYTHONMALLOC": "malloc"})
