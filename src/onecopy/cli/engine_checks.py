"""What `onecopy doctor` says of the brokers that the environment names: whether they answer."""

import asyncio
import os
from collections.abc import Iterator
from typing import Final

from onecopy.cli.checks import Check
from onecopy.engines.concerns import concerns_of
from onecopy.errors import OptionError
from onecopy.execution.connect import ENGINE

_VARIABLES: Final = {
    ENGINE: "engine",
    "ONECOPY_RABBITMQ": "RabbitMQ",
    "ONECOPY_KAFKA": "Kafka",
}
"""Variables that may name a broker, and what is said to be checked."""


def engine_checks() -> Iterator[Check]:
    """Look at each broker that is named, once; nothing where none is."""
    seen: set[str] = set()
    for variable, name in _VARIABLES.items():
        url = os.environ.get(variable)
        if url and url not in seen:
            seen.add(url)
            yield from _checks(variable, name, url)


def _checks(variable: str, name: str, url: str) -> Iterator[Check]:
    try:
        concerns = asyncio.run(concerns_of(url))
    except OptionError as error:
        yield Check(name, "problem", error.reason, f"set {variable} right")
        return
    except OSError as error:
        yield Check(name, "problem", str(error), f"start it, or set {variable} right")
        return
    if concerns is None:
        return
    for concern in concerns:
        found, _, cure = concern.partition("; ")
        yield Check(name, "warning", f"its broker {found}", cure or None)
    if not concerns:
        yield Check(name, "ok", "its broker answers")
