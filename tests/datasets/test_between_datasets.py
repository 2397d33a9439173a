"""Datasets that use one another: order, failures along the way, circles."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from onecopy.datasets import Dataset
from onecopy.errors import DatasetCycle, DatasetLoadError

DEADLINE = 20.0


def in_thread[T](function: Callable[[], T]) -> Future[T]:
    """Run a function in a thread of its own, with a context of its own."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def test_a_dataset_may_use_another() -> None:
    cities = Dataset[list[str]](lambda: ["Bern", "Basel"], "cities")
    initials = Dataset[set[str]](lambda: {name[0] for name in cities()}, "initials")
    assert initials() == {"B"}
    assert cities.loaded


def test_a_failure_names_the_dataset_that_failed_and_who_needed_it() -> None:
    def fails() -> list[str]:
        raise ValueError("bad row")

    cities = Dataset[list[str]](fails, "cities")
    initials = Dataset[set[str]](lambda: {name[0] for name in cities()}, "initials")
    with pytest.raises(DatasetLoadError) as caught:
        initials()
    assert caught.value.dataset == "cities"
    assert caught.value.path == ("initials", "cities")
    assert isinstance(caught.value.__cause__, ValueError)
    assert "initials -> cities" in str(caught.value)


def test_a_dataset_that_uses_itself_is_a_circle() -> None:
    a: Dataset[object] = Dataset[object](lambda: a(), "a")
    with pytest.raises(DatasetCycle) as caught:
        a()
    assert caught.value.path == ("a", "a")


def test_a_circle_shows_its_path() -> None:
    a: Dataset[object] = Dataset[object](lambda: b(), "a")
    b: Dataset[object] = Dataset[object](lambda: a(), "b")
    with pytest.raises(DatasetCycle, match="a -> b -> a") as caught:
        a()
    assert caught.value.path == ("a", "b", "a")
    with pytest.raises(DatasetCycle, match="b -> a -> b"):
        b()


def test_what_leads_to_a_circle_is_no_part_of_it() -> None:
    start: Dataset[object] = Dataset[object](lambda: a(), "start")
    a: Dataset[object] = Dataset[object](lambda: b(), "a")
    b: Dataset[object] = Dataset[object](lambda: a(), "b")
    with pytest.raises(DatasetCycle) as caught:
        start()
    assert caught.value.path == ("a", "b", "a")


def test_a_circle_of_async_loaders_shows_its_path() -> None:
    async def load_a() -> object:
        return b()

    async def load_b() -> object:
        return await asyncio.to_thread(a)

    a: Dataset[object] = Dataset[object](load_a, "a")
    b: Dataset[object] = Dataset[object](load_b, "b")
    with pytest.raises(DatasetCycle) as caught:
        in_thread(a).result(DEADLINE)
    assert caught.value.path == ("a", "b", "a")


def test_two_threads_that_need_each_others_dataset_do_not_wait_for_ever() -> None:
    both_began = threading.Barrier(2)

    def load_a() -> object:
        both_began.wait(DEADLINE)
        return b()

    def load_b() -> object:
        both_began.wait(DEADLINE)
        return a()

    a: Dataset[object] = Dataset[object](load_a, "a")
    b: Dataset[object] = Dataset[object](load_b, "b")
    outcomes = [in_thread(a), in_thread(b)]
    errors = [outcome.exception(DEADLINE) for outcome in outcomes]
    assert all(isinstance(error, DatasetCycle) for error in errors)
    paths = {error.path for error in errors if isinstance(error, DatasetCycle)}
    assert paths <= {("a", "b", "a"), ("b", "a", "b")}


def test_three_threads_in_a_circle_do_not_wait_for_ever() -> None:
    all_began = threading.Barrier(3)

    def needs(other: Callable[[], Dataset[object]]) -> Callable[[], object]:
        def load() -> object:
            all_began.wait(DEADLINE)
            return other()()

        return load

    a = Dataset[object](needs(lambda: b), "a")
    b = Dataset[object](needs(lambda: c), "b")
    c = Dataset[object](needs(lambda: a), "c")
    outcomes = [in_thread(a), in_thread(b), in_thread(c)]
    errors = [outcome.exception(DEADLINE) for outcome in outcomes]
    assert all(isinstance(error, DatasetCycle) for error in errors)


def test_two_threads_may_wait_for_the_same_third_dataset() -> None:
    go_on = threading.Event()
    began = threading.Event()

    def load_base() -> list[int]:
        began.set()
        assert go_on.wait(DEADLINE)
        return [1]

    base = Dataset[list[int]](load_base, "base")
    left = Dataset[list[int]](lambda: [*base(), 2], "left")
    right = Dataset[list[int]](lambda: [*base(), 3], "right")
    outcomes = [in_thread(left), in_thread(right)]
    assert began.wait(DEADLINE)
    go_on.set()
    assert [outcome.result(DEADLINE) for outcome in outcomes] == [[1, 2], [1, 3]]
