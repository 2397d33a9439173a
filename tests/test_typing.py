"""What the editor knows: checked by pyright, and run so that it is not only claimed."""

from typing import assert_type

from onecopy import Dataset, OneCopy


def test_a_sync_loader() -> None:
    shared = OneCopy()

    @shared.dataset
    def cities() -> dict[str, int]:
        return {"Bern": 1}

    assert_type(cities, Dataset[dict[str, int]])
    assert_type(cities(), dict[str, int])
    assert cities() == {"Bern": 1}


def test_an_async_loader() -> None:
    shared = OneCopy()

    @shared.dataset
    async def cities() -> dict[str, int]:
        return {"Bern": 1}

    assert_type(cities, Dataset[dict[str, int]])
    assert_type(cities(), dict[str, int])
    assert cities() == {"Bern": 1}


def test_loaders_with_a_name() -> None:
    shared = OneCopy()

    @shared.dataset(name="sync")
    def cities() -> list[str]:
        return ["Bern"]

    @shared.dataset(name="async")
    async def rivers() -> list[bytes]:
        return [b"Aare"]

    assert_type(cities, Dataset[list[str]])
    assert_type(rivers, Dataset[list[bytes]])
    assert_type(cities(), list[str])
    assert_type(rivers(), list[bytes])
    assert (cities(), rivers()) == (["Bern"], [b"Aare"])


def test_what_is_known_of_a_dataset() -> None:
    numbers = OneCopy().dataset(name="numbers")(lambda: [1])
    assert_type(numbers.name, str)
    assert_type(numbers.loaded, bool)
    assert_type(numbers.load_seconds, float | None)
    assert_type(numbers.objects, int | None)
    assert_type(numbers.bytes, int | None)
    assert numbers.objects is None
    assert numbers.bytes is None


def test_a_warm_function_keeps_its_type() -> None:
    shared = OneCopy()

    @shared.warm
    def look_up(name: str = "Bern") -> int:
        return len(name)

    assert_type(look_up("Basel"), int)
    assert look_up("Basel") == 5
