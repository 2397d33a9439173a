"""What is said of a broker that several threads use."""

import logging
from collections.abc import Generator
from threading import Thread

import pytest

from onecopy.engines.presence import Presence
from tests.running import DEADLINE

LOGGER = logging.getLogger("onecopy.engine")


@pytest.fixture
def meanwhile() -> Generator[list[Thread]]:
    """Threads that are started, and waited for, while the next line is being said."""
    threads: list[Thread] = []

    def run(_: logging.LogRecord) -> bool:
        while threads:
            thread = threads.pop()
            thread.start()
            thread.join(DEADLINE)
        return True

    LOGGER.addFilter(run)
    yield threads
    LOGGER.removeFilter(run)


def test_threads_that_find_it_gone_at_once_and_back_say_so_once(
    meanwhile: list[Thread], caplog: pytest.LogCaptureFixture
) -> None:
    presence = Presence("a broker")
    meanwhile.append(Thread(target=presence.gone, args=("publisher", "no way there")))
    presence.gone("worker", "no way there")
    assert [record.getMessage()[:22] for record in caplog.records] == ["a broker: no way there"]
    assert presence.away
    presence.there("publisher")
    presence.there("worker")
    assert [record.getMessage() for record in caplog.records][1:] == ["a broker is back"]
