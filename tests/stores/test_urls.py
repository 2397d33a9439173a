"""Stores by URL."""

import asyncio
import os
from pathlib import Path

import pytest

from onecopy.errors import OptionError
from onecopy.stores.memory import MemoryStore
from onecopy.stores.urls import open_store
from onecopy.testing._stores.jobs import make_job, run_open


def test_a_file_by_its_full_path(tmp_path: Path) -> None:
    path = tmp_path / "with space" / "jobs.db"
    store = open_store(f"sqlite:///{path}".replace(" ", "%20"))
    run_open(store, lambda: store.accept([make_job()]))
    assert path.exists()


def test_a_file_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///state/jobs.db?synchronous=normal")
    monkeypatch.chdir(os.sep)
    asyncio.run(store.open())
    asyncio.run(store.close())
    assert (tmp_path / "state" / "jobs.db").exists()


def test_in_memory() -> None:
    assert isinstance(open_store("memory://"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle://x", "names no store"),
        ("jobs.db", "names no store"),
        ("memory://x", "names no store"),
        ("postgresql+psycopg://user:secret@host/database?password=secret", "host/database'"),
        ("sqlite://jobs.db", "has no path; write sqlite:///jobs.db"),
        ("sqlite:///", "has no path"),
        ("sqlite:///jobs.db?synchronous=off", "synchronous is full or normal"),
        ("sqlite:///jobs.db?speed=11", "an option that there is not: speed"),
    ],
)
def test_a_url_that_names_none(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
