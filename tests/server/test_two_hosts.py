"""Several hosts with one store: each is a service with a state folder and a name of its own."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.redis import Redis
from tests.proxy import Proxy
from tests.running import service, wait_until
from tests.server.jobs_app import Jobs

LEASE = "10"
APP = """
import asyncio, os
from fastapi import FastAPI
from onecopy import JobContext, OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


def note(*words: object) -> None:
    fd = os.open("../notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\\n").encode())
    os.close(fd)


@shared.task(retries=3, backoff=0.01, concurrency=1)
async def work(until: str, context: JobContext) -> str:
    host = os.environ["ONECOPY_HOST_NAME"]
    note("begin", context.id, context.attempt, host)
    try:
        while not os.path.exists(f"../{until}"):
            await asyncio.sleep(0.02)
        return host
    finally:
        note("end", context.id, context.attempt, host)


app.post("/work")(work.endpoint)
"""


class Hosts:
    """Hosts in folders side by side, which note what they do in one file."""

    def __init__(self, folder: Path, server: Redis) -> None:
        self._folder = folder
        self._url = server.url

    @contextmanager
    def host(self, name: str, job_workers: int, port: int | None = None) -> Generator[Jobs]:
        folder = self._folder / name
        folder.mkdir()
        (folder / "work.py").write_text(APP)
        url = self._url if port is None else self._by_port(port)
        environment = {
            "ONECOPY_HOST_NAME": name,
            "ONECOPY_LEASE": LEASE,
            "ONECOPY_STORE": f"{url}?prefix={self._folder.name}",
        }
        options = ["work:app", "--workers", "1", "--no-access-log"]
        options += ["--job-workers", str(job_workers)]
        with service(folder, *options, environment=environment) as run:
            yield Jobs(run)

    def _by_port(self, port: int) -> str:
        place, _, rest = self._url.rpartition(":")
        return f"{place}:{port}/{rest.partition('/')[2]}"

    def release(self, name: str) -> None:
        (self._folder / name).touch()

    def notes(self, word: str) -> list[list[str]]:
        """Return job, attempt and host of all notes of a word, in the order of time."""
        try:
            lines = (self._folder / "notes").read_text().splitlines()
        except OSError:
            return []
        return [line.split()[1:] for line in lines if line.startswith(word)]

    def wait_for_host(self, job: str, host: str) -> None:
        """Wait until a host has begun a job."""
        wait_until(lambda: any((n[0], n[2]) == (job, host) for n in self.notes("begin")))


@pytest.fixture
def hosts(tmp_path: Path, redis_server: Redis) -> Hosts:
    return Hosts(tmp_path, redis_server)


def test_jobs_of_one_host_run_on_the_other(hosts: Hosts) -> None:
    hosts.release("go")
    with hosts.host("web", 0) as web, hosts.host("data", 1) as data:
        assert web.do("work", until="go")["result"] == "data"
        job = data.submit("work", until="go")
        assert web.wait(job)["result"] == "data"
        assert web.ask("GET", f"/jobs/{job}/result") == (200, "data")


def test_a_host_that_vanishes_and_one_that_is_cut_off_lose_their_jobs_to_another(
    hosts: Hosts, redis_server: Redis
) -> None:
    with Proxy(redis_server.port) as proxy, hosts.host("gone", 1) as gone:
        first = gone.submit("work", until="go")
        hosts.wait_for_host(first, "gone")
        with hosts.host("cut-off", 1, proxy.port) as cut_off:
            second = cut_off.submit("work", until="go")
            hosts.wait_for_host(second, "cut-off")
            gone.run.kill()
            proxy.go_away()
            with hosts.host("stays", 2) as stays:
                hosts.wait_for_host(second, "stays")
                hosts.wait_for_host(first, "stays")
                # It had ended its attempt before the other host began.
                assert [second, "1", "cut-off"] in hosts.notes("end")
                hosts.release("go")
                assert stays.wait(first)["result"] == "stays"
                proxy.come_back()
                assert cut_off.wait(second)["result"] == "stays"
                assert stays.look(second)["attempt"] == 2
