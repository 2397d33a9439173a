"""A dataset in one thread: load, use, fail, try again."""

import functools
import gc
import sys

import pytest

from onecopy import heap
from onecopy.datasets import Dataset
from onecopy.errors import DatasetDefinitionError, DatasetLoadError


def test_calling_a_dataset_returns_the_data_that_was_loaded_once() -> None:
    runs: list[int] = []

    def cities() -> dict[str, int]:
        runs.append(1)
        return {"Bern": 1}

    dataset = Dataset[dict[str, int]](cities, "cities")
    assert not dataset.loaded
    first = dataset()
    assert first == {"Bern": 1}
    assert dataset() is first
    assert dataset.loaded
    assert runs == [1]


@pytest.mark.parametrize("value", [None, 0, [], ()])
def test_data_that_is_false_is_loaded_once_as_well(value: object) -> None:
    runs: list[int] = []

    def loader() -> object:
        runs.append(1)
        return value

    dataset = Dataset[object](loader, "empty")
    assert dataset() is value
    assert dataset() is value
    assert runs == [1]


def test_load_loads_without_handing_out_the_data() -> None:
    dataset = Dataset[list[int]](lambda: [1, 2], "numbers")
    dataset.load()
    assert dataset.loaded
    assert dataset() == [1, 2]


def test_load_seconds_are_those_of_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.5])
    monkeypatch.setattr("onecopy.datasets.resident.time.perf_counter", lambda: next(times))
    dataset = Dataset[int](lambda: 1, "number")
    assert dataset.load_seconds is None
    dataset.load()
    assert dataset.load_seconds == 2.5


def test_a_loader_that_raises_is_named_and_its_exception_is_the_cause() -> None:
    def cities() -> list[str]:
        raise FileNotFoundError("no such file: cities.json")

    dataset = Dataset[list[str]](cities, "cities")
    with pytest.raises(DatasetLoadError) as caught:
        dataset()
    assert caught.value.dataset == "cities"
    assert caught.value.path == ("cities",)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert str(caught.value) == (
        "dataset 'cities' could not be loaded: FileNotFoundError: no such file: cities.json"
    )
    assert not dataset.loaded
    assert dataset.load_seconds is None


def test_after_a_failure_the_next_call_tries_again() -> None:
    outcomes = iter([ValueError("not yet"), [1, 2]])

    def numbers() -> list[int]:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    dataset = Dataset[list[int]](numbers, "numbers")
    with pytest.raises(DatasetLoadError):
        dataset()
    assert dataset() == [1, 2]


def test_an_interrupted_loader_is_run_again_by_the_next_call() -> None:
    outcomes = iter([KeyboardInterrupt(), [1]])

    def numbers() -> list[int]:
        outcome = next(outcomes)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    dataset = Dataset[list[int]](numbers, "numbers")
    with pytest.raises(KeyboardInterrupt):
        dataset()
    assert dataset() == [1]


def test_an_async_loader_is_run_to_its_end() -> None:
    async def cities() -> list[str]:
        return ["Bern"]

    assert Dataset[list[str]](cities, "cities")() == ["Bern"]


def test_whatever_returns_an_awaitable_is_an_async_loader() -> None:
    async def cities(country: str) -> list[str]:
        return [f"Bern, {country}"]

    partial = functools.partial(cities, "CH")
    assert Dataset[list[str]](partial, "cities")() == ["Bern, CH"]


def test_a_loader_that_needs_arguments_is_refused_at_its_definition() -> None:
    def cities(country: str) -> list[str]:
        return [country]

    with pytest.raises(DatasetDefinitionError, match=r"'country'.*default") as caught:
        Dataset[list[str]](cities, "cities")  # pyright: ignore[reportArgumentType]
    assert caught.value.dataset == "cities"
    assert isinstance(caught.value, TypeError)


def test_a_generator_is_refused_at_its_definition() -> None:
    def cities() -> object:
        yield "Bern"

    with pytest.raises(DatasetDefinitionError, match="Return a list"):
        Dataset[object](cities, "cities")


def test_a_dataset_shows_its_name_and_whether_it_is_loaded() -> None:
    dataset = Dataset[int](lambda: 1, "one")
    assert repr(dataset) == "<Dataset 'one', not loaded>"
    dataset.load()
    assert repr(dataset) == "<Dataset 'one', loaded>"


def test_a_failed_load_leaves_nothing_of_its_frames_behind() -> None:
    class Huge:
        pass

    def cities() -> list[str]:
        half_loaded = Huge()
        raise ValueError(f"bad row after {type(half_loaded).__name__}")

    dataset = Dataset[list[str]](cities, "cities")
    with pytest.raises(DatasetLoadError):
        dataset()
    gc.collect()
    assert not any(isinstance(it, Huge) for it in gc.get_objects())


def test_objects_and_bytes_are_counted_when_somebody_asks() -> None:
    dataset = Dataset[list[str]](lambda: [f"city {number}" for number in range(1000)], "cities")
    assert dataset.objects is None
    assert dataset.bytes is None
    dataset.load()
    assert dataset.objects == 1001
    assert dataset.bytes is not None
    assert dataset.bytes > 1000 * sys.getsizeof("city 1")


def test_what_the_seal_has_counted_is_kept() -> None:
    dataset = Dataset[list[int]](lambda: [1, 2], "numbers")
    dataset.load()
    dataset.record(heap.Tally(objects=7, bytes=99))
    assert (dataset.objects, dataset.bytes) == (7, 99)
