"""What the process knows of its datasets and warm functions."""

import pytest

from onecopy.datasets import Dataset, registered, registry, warmers
from onecopy.errors import DatasetExists, WarmError


def one() -> int:
    return 1


def other() -> int:
    return 2


def test_datasets_are_listed_in_the_order_of_their_definition() -> None:
    first, second = Dataset[int](one, "z"), Dataset[int](other, "a")
    registry.add_dataset(first)
    registry.add_dataset(second)
    assert registered() == [first, second]


def test_two_datasets_of_one_name_are_refused_with_both_places() -> None:
    registry.add_dataset(Dataset[int](one, "numbers"))
    with pytest.raises(DatasetExists) as caught:
        registry.add_dataset(Dataset[int](other, "numbers"))
    assert caught.value.dataset == "numbers"
    assert caught.value.first.endswith(f"test_registry.py:{one.__code__.co_firstlineno}")
    assert caught.value.second.endswith(f"test_registry.py:{other.__code__.co_firstlineno}")
    assert "Rename" in str(caught.value)


def test_the_same_code_run_again_replaces_its_dataset() -> None:
    """A module is run as `__main__` and imported by its name, or an app factory is called twice."""
    registry.add_dataset(Dataset[int](one, "numbers"))
    again = Dataset[int](one, "numbers")
    registry.add_dataset(again)
    assert registered() == [again]


def test_warm_functions_run_sync_and_async() -> None:
    ran: list[str] = []

    async def look_up() -> None:
        ran.append("async")

    registry.add_warmer(lambda: ran.append("sync"))
    registry.add_warmer(look_up)
    for warm in warmers():
        warm()
    assert ran == ["sync", "async"]


def test_a_warm_function_that_raises_is_named() -> None:
    def look_up() -> None:
        raise KeyError("Bern")

    registry.add_warmer(look_up)
    [warm] = warmers()
    with pytest.raises(WarmError, match=r"look_up.*KeyError: 'Bern'") as caught:
        warm()
    assert caught.value.warmer.endswith("look_up")
    assert isinstance(caught.value.__cause__, KeyError)
