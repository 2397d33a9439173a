"""The page of the gazetteer in a browser: it finds as one types, in light, in dark, on a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, browser
from tests.running import Service, service, wait_until

ROOT = Path(__file__).parents[2]
APP = """
from gazetteer.places import Gazetteer

NAMES = [
    ("Bern", ["Berne", "Берн"]),
    ("Bernau", []),
    ("Zürich", []),
    ("<b>Bold</b>", ["Sehrlangername" * 10]),
]
CITIES = [
    {
        "geonameid": number,
        "name": name,
        "latitude": 46.9,
        "longitude": 7.4 + number,
        "countrycode": "CH",
        "population": 100_000 - number,
        "timezone": "Europe/Zurich",
        "admin1code": "",
        "alternatenames": also,
    }
    for number, (name, also) in enumerate(NAMES)
]
Gazetteer.load = classmethod(lambda cls: cls(CITIES, {"CH": "Switzerland"}))

from gazetteer.app import app
"""


@pytest.fixture(scope="module")
def gazetteer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The gazetteer with four cities, served as ever."""
    folder = tmp_path_factory.mktemp("gazetteer")
    (folder / "small.py").write_text(APP)
    environment = {"PYTHONPATH": str(ROOT / "examples")}
    with service(folder, "small:app", "--workers", "2", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (1200, True), (390, False)], ids=["light", "dark", "phone"]
)
def test_it_finds_as_one_types(gazetteer: Service, page: Page, width: int, dark: bool) -> None:
    page.open(f"http://127.0.0.1:{gazetteer.port}/", width=width, dark=dark)
    assert page.text("status") == "Type at least two letters."
    page.type("ber")
    wait_until(lambda: page.text("status").startswith("2 found"), what="two cities")
    assert page.text("results").startswith("Bern Switzerland")
    page.type("ne")
    wait_until(lambda: page.text("status").startswith("1 found"), what="one city")
    assert "also Berne" in page.text("results")
    page.type("xxxxxx")
    wait_until(lambda: page.text("status").startswith("No city is called"), what="no city")
    assert page.text("results") == ""
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.errors == []


def test_dark_is_dark_and_light_is_light(gazetteer: Service, page: Page) -> None:
    colors: list[str] = []
    for dark in (False, True):
        page.open(f"http://127.0.0.1:{gazetteer.port}/", dark=dark)
        colors.append(page.value("getComputedStyle(document.body).backgroundColor"))
    assert colors == ["rgb(246, 247, 249)", "rgb(20, 23, 28)"]


def test_a_name_is_text_whatever_it_says(gazetteer: Service, page: Page) -> None:
    page.open(f"http://127.0.0.1:{gazetteer.port}/?q=sehrlanger", width=390)
    wait_until(lambda: page.text("status").startswith("1 found"), what="one city")
    assert "<b>Bold</b>" in page.text("results")
    assert page.value("document.documentElement.scrollWidth") <= 390


def test_it_shows_what_the_workers_hold(gazetteer: Service, page: Page) -> None:
    page.open(f"http://127.0.0.1:{gazetteer.port}/")
    wait_until(lambda: page.text("workers") != "", what="a worker")
    pids = {int(row.split()[0]) for row in page.text("workers").splitlines()}
    assert pids <= set(gazetteer.pids("web"))
    assert "Objects" in page.text("data")
    wait_until(lambda: "Bern, Switzerland" in page.text("near"), what="the nearest city")
