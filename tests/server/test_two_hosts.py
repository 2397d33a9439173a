"""Several hosts with one store: each is a service with a state folder and a name of its own."""

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers.postgres import Postgres
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from tests.hosts import Host, Network, folders, namespaces
from tests.running import DEADLINE, Service, wait_until
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


_POST = """
import sys, httpx
print(httpx.post(sys.argv[1], content=sys.argv[2], headers={"content-type": "application/json"},
                 timeout=25).status_code)
"""


@dataclass
class Place:
    """A running host: its service, and how to cut it off."""

    jobs: Jobs
    host: Host

    def post_from_inside(self, task: str, **arguments: object) -> int:
        """Ask for a job by a program on the host itself; return the status."""
        url = f"http://{self.host.address}:{self.jobs.run.port}/{task}"
        command = [*self.host.command, sys.executable, "-c", _POST, url, json.dumps(arguments)]
        return int(subprocess.check_output(command, text=True, timeout=DEADLINE))


class Hosts:
    """Hosts with a store and a broker, which note what they do in one file.

    urls: variables with the URLs of servers, each with the server's port.
    """

    def __init__(self, folder: Path, network: Network, urls: Mapping[str, tuple[str, int]]) -> None:
        self._folder = folder
        self._network = network
        self._urls = urls

    @contextmanager
    def host(self, name: str, job_workers: int) -> Generator[Place]:
        folder = self._folder / name
        folder.mkdir()
        (folder / "work.py").write_text(APP)
        host = self._network.host()
        environment = {
            "ONECOPY_HOST_NAME": name,
            "ONECOPY_LEASE": LEASE,
            **{name: host.reach(*url) for name, url in self._urls.items()},
        }
        with (
            Service(
                folder,
                *("work:app", "--workers", "1", "--no-access-log"),
                *("--job-workers", str(job_workers)),
                environment=environment,
                before=host.command,
                host=host.address,
            ) as run,
        ):
            yield Place(Jobs(run.wait_until_ready()), host)

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
def one_server(tmp_path: Path, redis_server: Redis) -> Generator[Hosts]:
    """One server for everything; hosts are folders."""
    url = f"{redis_server.url}?prefix={tmp_path.name}"
    with folders() as network:
        yield Hosts(tmp_path, network, {"ONECOPY_STORE": (url, redis_server.port)})


@pytest.fixture
def store_and_broker(
    tmp_path: Path, postgres_server: Postgres, postgres_url: str, rabbitmq_server: RabbitMQ
) -> Generator[Hosts]:
    """A store and a broker; hosts are network namespaces where these can be had."""
    broker = f"{rabbitmq_server.url}?prefix={tmp_path.name}"
    urls = {
        "ONECOPY_STORE": (postgres_url, postgres_server.port),
        "ONECOPY_ENGINE": (broker, rabbitmq_server.port),
    }
    with namespaces() as network:
        yield Hosts(tmp_path, network, urls)


@pytest.fixture(params=["one_server", "store_and_broker"])
def hosts(request: pytest.FixtureRequest) -> Hosts:
    return request.getfixturevalue(request.param)


def test_jobs_of_one_host_run_on_the_other(hosts: Hosts) -> None:
    hosts.release("go")
    with hosts.host("web", 0) as web, hosts.host("data", 1) as data:
        assert web.jobs.do("work", until="go")["result"] == "data"
        job = data.jobs.submit("work", until="go")
        assert web.jobs.wait(job)["result"] == "data"
        assert web.jobs.ask("GET", f"/jobs/{job}/result") == (200, "data")


def test_a_host_that_vanishes_and_one_that_is_cut_off_lose_their_jobs_to_another(
    hosts: Hosts,
) -> None:
    with hosts.host("gone", 1) as gone:
        first = gone.jobs.submit("work", until="go")
        hosts.wait_for_host(first, "gone")
        with hosts.host("cut-off", 1) as cut_off:
            second = cut_off.jobs.submit("work", until="go")
            hosts.wait_for_host(second, "cut-off")
            gone.jobs.run.kill()
            cut_off.host.cut_off()
            assert cut_off.post_from_inside("work", until="go") == 503
            with hosts.host("stays", 2):
                hosts.wait_for_host(second, "stays")
                hosts.wait_for_host(first, "stays")
                # It had ended its attempt before the other host began.
                assert [second, "1", "cut-off"] in hosts.notes("end")
                hosts.release("go")
