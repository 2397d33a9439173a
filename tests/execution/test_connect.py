"""What a start says of where jobs are."""

import pytest

from onecopy.execution.connect import told_of_places


@pytest.mark.parametrize(
    ("store", "engine", "said"),
    [
        (None, None, None),
        (
            "postgresql://me:se@cret?@db/jobs?password=x",
            None,
            "jobs are kept in postgresql://db/jobs",
        ),
        (
            "redis://:secret@one:6379/0",
            "kafka://me:secret@one:9092,two:9092/jobs?sasl.password=secret",
            "jobs are kept in redis://one:6379/0, and travel by kafka://one:9092,two:9092/jobs",
        ),
        (
            None,
            "celery+amqp://me:secret@broker/",
            "jobs are kept in sqlite:////state/jobs.sqlite3, and travel by celery+amqp://broker/",
        ),
    ],
)
def test_places_are_told_where_they_are_named(
    store: str | None, engine: str | None, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONECOPY_STATE_DIR", "/state")
    for name, value in (("ONECOPY_STORE", store), ("ONECOPY_ENGINE", engine)):
        monkeypatch.setenv(name, value or "")
    assert told_of_places() == said
