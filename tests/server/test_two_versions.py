"""A whole service whose store a newer onecopy brings up to date, while it runs and before."""

import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from servers.redis import Redis
from tests.running import service
from tests.server.jobs_app import TASKS, Jobs

OPTIONS = ["work:app", "--workers", "1", "--job-workers", "1", "--no-access-log"]


@pytest.fixture(params=["redis", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of a store that is this test's own."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    server: Redis = request.getfixturevalue("redis_server")
    return f"{server.url}?prefix={uuid4()}"


def become_newer(store: str) -> None:
    """Have a store be as one that a newer onecopy has written."""
    url, _, name = store.rpartition("=")
    if url.startswith("redis"):
        words = ["redis-cli", "-u", url.partition("?")[0], "SET", f"{{{name}}}format", "99"]
        subprocess.run(words, check=True, capture_output=True)
        return
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        connection.execute(f"UPDATE {name}.version SET version = 99".encode())


def test_it_takes_no_more_says_so_and_ends_what_it_runs(store: str, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(TASKS)
    variables = {"ONECOPY_STORE": store}
    with service(tmp_path, *OPTIONS, environment=variables) as run:
        jobs = Jobs(run)
        running = jobs.submit("block", seconds=1.5)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        become_newer(store)
        assert jobs.ask("POST", "/mark", {"text": "m"})[0] == 503
        assert jobs.wait(running)["status"] == "succeeded"
        run.wait_for_log("cannot claim: .* was written by a newer onecopy")
        assert run.stop() == 0
    with service(tmp_path, *OPTIONS, environment=variables) as run:
        run.wait_for_log("no job can be run yet: .* was written by a newer onecopy")
        assert Jobs(run).ask("POST", "/mark", {"text": "m"})[0] == 503
