"""OneCopy: what its decorators make and return."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from onecopy import Dataset, OneCopy
from onecopy.datasets import registered, warmers
from onecopy.errors import DatasetDefinitionError, DatasetExists


def test_a_dataset_is_named_by_its_function() -> None:
    shared = OneCopy()

    @shared.dataset
    def cities() -> list[str]:
        """Cities of the world."""
        return ["Bern"]

    assert isinstance(cities, Dataset)
    assert cities.name == "cities"
    assert cities.kind == "resident"
    assert cities.__doc__ == "Cities of the world."
    assert registered() == [cities]
    assert cities() == ["Bern"]


def test_a_dataset_can_be_given_a_name() -> None:
    shared = OneCopy()

    @shared.dataset(name="places")
    def load_everything() -> list[str]:
        return ["Bern"]

    assert load_everything.name == "places"
    assert load_everything() == ["Bern"]


def test_parentheses_with_nothing_in_them_change_nothing() -> None:
    shared = OneCopy()

    @shared.dataset()
    async def cities() -> list[str]:
        return ["Bern"]

    assert cities.name == "cities"
    assert cities() == ["Bern"]


def test_names_are_unique_among_all_of_a_process() -> None:
    OneCopy().dataset(name="cities")(lambda: 1)
    with pytest.raises(DatasetExists):
        OneCopy().dataset(name="cities")(lambda: 2)


def test_what_cannot_be_a_loader_is_not_registered() -> None:
    shared = OneCopy()

    def cities(country: str) -> list[str]:
        return [country]

    with pytest.raises(DatasetDefinitionError):
        shared.dataset(cities)  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert registered() == []


def test_a_warm_function_is_returned_as_it_was() -> None:
    shared = OneCopy()
    ran: list[str] = []

    def look_up() -> None:
        ran.append("warm")

    assert shared.warm(look_up) is look_up
    [warm] = warmers()
    assert ran == []
    warm()
    assert ran == ["warm"]


def test_a_dataset_is_a_dependency_of_fastapi() -> None:
    shared, app = OneCopy(), FastAPI()

    @shared.dataset
    async def cities() -> dict[str, int]:
        return {"Bern": 3000}

    def postcode(city: str, known: Annotated[dict[str, int], Depends(cities)]) -> int:
        return known[city]

    app.get("/{city}")(postcode)

    async def ask() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return (await client.get("/Bern")).json()

    assert asyncio.run(ask()) == 3000
    app.dependency_overrides[cities] = lambda: {"Bern": 1}
    assert asyncio.run(ask()) == 1
