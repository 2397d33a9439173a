"""The page of the gazetteer in a browser: in light, in dark, on a phone."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, browser
from tests.running import Service, service, wait_until

ROOT = Path(__file__).parents[2]
APP = """
import time

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

search = Gazetteer.search


def slowly(self, text, limit=10):
    if text == "slow":
        time.sleep(0.05)
    return search(self, text, limit)


Gazetteer.search = slowly

from gazetteer.app import app
"""
SIZES = pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (1200, True), (390, False)], ids=["light", "dark", "phone"]
)


@pytest.fixture(scope="module")
def gazetteer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The gazetteer with four cities, served as ever."""
    folder = tmp_path_factory.mktemp("gazetteer")
    (folder / "small.py").write_text(APP)
    environment = {"PYTHONPATH": str(ROOT / "examples")}
    options = ("--workers", "2", "--job-workers", "1")
    with service(folder, "small:app", *options, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@SIZES
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


CSV = """id;Ort;Land
1;Bern;CH
2;"Zurrich";CH
3;"<b>Bold</b>";CH

4;"qqqq ""q"" q";CH
"""


@SIZES
def test_a_file_of_names_becomes_a_table_of_cities(
    gazetteer: Service, page: Page, tmp_path: Path, width: int, dark: bool
) -> None:
    page.open(address(gazetteer), width=width, dark=dark)
    (tmp_path / "places.csv").write_text(CSV)
    page.choose_file("file", tmp_path / "places.csv")
    wait_until(lambda: page.text("asked") == "places.csv is read.", what="the file")
    page.value("document.getElementById('column').value = 1")
    page.value("document.getElementById('column').dispatchEvent(new Event('change'))")
    assert page.value("document.getElementById('rows').value").splitlines()[:2] == ["Ort", "Bern"]
    page.click("heading")
    page.click("send")
    wait_until(lambda: page.shown("answers"), what="the answers")
    assert page.text("asked") == "Done: 3 of 4 found, 1 not."
    assert not page.shown("job")
    rows = page.text("found-rows").splitlines()
    assert rows[0].split("\t")[:2] == ["Bern", "Bern, Switzerland"]
    assert rows[1].split("\t")[:2] == ["Zurrich", "Zürich, Switzerlandsimilar"]
    assert rows[2].startswith("<b>Bold</b>\t<b>Bold</b>")
    assert rows[3].startswith('qqqq "q" q\tnone is like it')
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.errors == []


def test_the_answers_can_be_downloaded(gazetteer: Service, page: Page) -> None:
    page.open(address(gazetteer))
    page.fill("rows", '=1+1\nzurrich\n"quoted"')
    page.click("send")
    wait_until(lambda: page.shown("answers"), what="the answers")
    text = page.value("fetch(document.getElementById('download').href).then(it => it.text())")
    assert text.splitlines() == [
        '"name","city","country","latitude","longitude","population","how"',
        '"\'=1+1","","","","","",""',
        '"zurrich","Zürich","Switzerland",46.9,9.4,99998,"similar"',
        '"""quoted""","","","","","",""',
    ]


def test_a_bar_shows_how_far_it_is_and_the_job_can_be_followed_again_and_cancelled(
    gazetteer: Service, page: Page
) -> None:
    page.open(address(gazetteer))
    page.fill("rows", "slow\n" * 400)
    page.click("send")
    wait_until(lambda: page.text("asked") == "A job worker is at it.", what="the worker")
    wait_until(lambda: page.value("document.getElementById('bar').value") > 2, what="the bar")
    assert page.text("done").endswith(" of 400")
    url = page.value("location.href")
    page.open("about:blank")
    page.open(url, width=390)
    wait_until(lambda: page.text("done").endswith(" of 400"), what="the job, found again")
    assert page.value("document.documentElement.scrollWidth") <= 390
    page.click("cancel")
    wait_until(lambda: page.text("asked") == "Cancelled.", what="the end of it")
    assert not page.shown("job")
    assert not page.shown("answers")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("  \n", "Write at least one name, or choose a file."),
        ("x\n" * 20_001, "20,001 names are too many: send at most 20,000."),
        ("x" * 101, "has more than 100 letters: no city is called so."),
    ],
    ids=["none", "too many", "too long"],
)
def test_what_cannot_be_sent_is_said_in_words(
    gazetteer: Service, page: Page, names: str, words: str
) -> None:
    page.open(address(gazetteer))
    page.fill("rows", names)
    page.click("send")
    wait_until(lambda: page.text("asked").endswith(words), what=words)
    assert not page.value("document.getElementById('send').disabled")


def test_a_job_that_is_gone_is_said_in_words(gazetteer: Service, page: Page) -> None:
    page.open("about:blank")
    page.open(f"{address(gazetteer)}#job=unknown")
    wait_until(lambda: page.text("asked").startswith("This job is gone"), what="the words")
    assert not page.shown("job")


def test_the_bar_goes_on_after_the_server_was_restarted(page: Page, tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    options = ("small:app", "--workers", "1", "--job-workers", "1", "--port", port)
    environment = {"PYTHONPATH": str(ROOT / "examples")}
    with service(tmp_path, *options, environment=environment) as running:
        page.open(address(running))
        page.fill("rows", "slow\n" * 100)
        page.click("send")
        wait_until(lambda: page.value("document.getElementById('bar').value") > 2, what="the bar")
        running.kill()
    away = "The server cannot be reached. The job is safe; asking again."
    wait_until(lambda: page.text("asked") == away, what="the words")
    with service(tmp_path, *options, environment=environment):
        wait_until(lambda: page.text("asked").startswith("Done: 0 of 100"), what="the answers")
        assert not page.shown("job")


def address(gazetteer: Service) -> str:
    return f"http://127.0.0.1:{gazetteer.port}/"
