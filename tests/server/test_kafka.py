"""Jobs that travel by Kafka: more workers than partitions, and workers that come and go."""

import os
import signal
from collections import Counter
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from servers.kafka import Kafka
from tests.running import DEADLINE, Service, wait_until
from tests.server.jobs_app import Jobs

APP = """
import os, time
from fastapi import FastAPI
from onecopy import OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


def note(*words: object) -> None:
    fd = os.open("../notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\\n").encode())
    os.close(fd)


@shared.task(retries=1, backoff=0.01)
def work(name: str, until: str | None = None) -> None:
    note("begin", name, os.getpid())
    while until is not None and not os.path.exists(f"../{until}"):
        time.sleep(0.01)
    time.sleep(0.01)
    note("end", name, os.getpid())


app.post("/work")(work.endpoint)
"""


class Cluster:
    """Hosts with one store, whose jobs travel by one topic."""

    def __init__(self, folder: Path, server: Kafka, *, asked: int) -> None:
        """asked: partitions that the URL asks for."""
        self._folder = folder
        self._server = server
        self.topic = folder.name
        self._urls = {
            "ONECOPY_STORE": f"sqlite:///{folder}/jobs.sqlite3",
            "ONECOPY_ENGINE": f"kafka://{server.bootstrap}/{self.topic}?partitions={asked}",
        }

    @contextmanager
    def host(self, name: str, job_workers: int) -> Generator[Service]:
        """Run a service, and wait until it serves and its job workers are there."""
        folder = self._folder / name
        folder.mkdir()
        (folder / "app.py").write_text(APP)
        words = ("app:app", "--workers", "1", "--job-workers", str(job_workers), "--no-access-log")
        with Service(folder, *words, environment=self._urls) as run:
            run.wait_until_ready()
            wait_until(lambda: len(run.pids("job")) == job_workers)
            yield run
            assert "cannot" not in run.log

    def release(self, name: str) -> None:
        (self._folder / name).touch()

    def notes(self, word: str) -> list[tuple[str, int]]:
        """Return name of the job and pid of all notes of a word, in the order of time."""
        notes = self._folder / "notes"
        lines = notes.read_text().splitlines() if notes.exists() else []
        words = [line.split() for line in lines]
        return [(name, int(pid)) for kind, name, pid in words if kind == word]

    def pids_of(self, names: list[str]) -> Mapping[str, int]:
        """Wait until these jobs have begun; return who runs each."""

        def found() -> Mapping[str, int] | None:
            begun = dict(self.notes("begin"))
            return {name: begun[name] for name in names} if begun.keys() >= {*names} else None

        return wait_until(found, what=f"{names} to begin")

    def partitions(self) -> int:
        """How many the topic has."""
        admin = AdminClient({"bootstrap.servers": self._server.bootstrap})
        return len(admin.list_topics(self.topic, DEADLINE).topics[self.topic].partitions)

    def lag(self) -> int:
        """Messages that the workers, as a group, are not done with."""
        group = {"bootstrap.servers": self._server.bootstrap, "group.id": self.topic}
        consumer = Consumer(group)
        try:
            places = [TopicPartition(self.topic, each) for each in range(self.partitions())]
            ends = [consumer.get_watermark_offsets(each, DEADLINE)[1] for each in places]
            done = [max(0, each.offset) for each in consumer.committed(places, DEADLINE)]
            return sum(ends) - sum(done)
        finally:
            consumer.close()


def make_topic(server: Kafka, name: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    new = [NewTopic(name, num_partitions=partitions)]
    made = cast("dict[str, Future[None]]", admin.create_topics(new))  # pyright: ignore[reportUnknownMemberType]
    made[name].result(DEADLINE)


def submit(jobs: Jobs, prefix: str, count: int, until: str | None = None) -> dict[str, str]:
    """Submit jobs; return their ids by their names."""
    names = [f"{prefix}{number}" for number in range(count)]
    return {name: jobs.submit("work", name=name, until=until) for name in names}


def all_succeed(jobs: Jobs, ids: Mapping[str, str]) -> None:
    for job in ids.values():
        assert jobs.wait(job)["status"] == "succeeded"


def test_more_workers_than_partitions(kafka_server: Kafka, tmp_path: Path) -> None:
    """The topic is there, with fewer than are asked for. Who has none looks into the store."""
    cluster = Cluster(tmp_path, kafka_server, asked=6)
    make_topic(kafka_server, cluster.topic, 1)
    with cluster.host("host", 3) as run:
        jobs = Jobs(run)
        waiting = submit(jobs, "waiting", 3, until="go")
        assert {*cluster.pids_of([*waiting]).values()} == {*run.pids("job")}
        more = submit(jobs, "more", 30)
        cluster.release("go")
        all_succeed(jobs, waiting | more)
        assert sorted(name for name, _ in cluster.notes("begin")) == sorted(waiting | more)
        assert cluster.partitions() == 1
        wait_until(lambda: cluster.lag() == 0)


def test_workers_that_join_leave_and_are_killed_in_the_middle_of_jobs(
    kafka_server: Kafka, tmp_path: Path
) -> None:
    """Partitions move while jobs run, with what was read ahead: each job runs once."""
    cluster = Cluster(tmp_path, kafka_server, asked=4)
    with cluster.host("stays", 1) as stays, cluster.host("leaves", 2) as leaves:
        jobs = Jobs(stays)
        waiting = submit(jobs, "waiting", 3, until="go")
        pids = cluster.pids_of([*waiting])
        behind = submit(jobs, "behind", 40)
        victim = next(name for name, pid in pids.items() if pid in leaves.pids("job"))
        os.kill(pids[victim], signal.SIGKILL)
        leaves.wait_for_log(r"lost")
        with cluster.host("joins", 1):
            again = submit(jobs, "again", 40)
            cluster.release("go")
            leaves.signal(signal.SIGTERM)
            all_succeed(jobs, waiting | behind | again)
            assert leaves.wait() == 0
            last = submit(jobs, "last", 5)
            all_succeed(jobs, last)
            wait_until(lambda: cluster.lag() == 0)
    everything = waiting | behind | again | last
    assert Counter(name for name, _ in cluster.notes("end")) == dict.fromkeys(everything, 1)
    begun = Counter(name for name, _ in cluster.notes("begin"))
    assert begun == dict.fromkeys(everything, 1) | {victim: 2}
