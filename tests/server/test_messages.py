"""Messages that a broker delivers twice, in another order, late and never; and such of no job."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from onecopy.stores.urls import open_store
from onecopy.testing._engines import due_job
from tests.celery import poison
from tests.mail import mail_of
from tests.running import service
from tests.server.jobs_app import TASKS, Jobs
from tests.ways import CELERY, Way

OPTIONS = ["work:app", "--workers", "1", "--no-access-log", "--job-workers"]
LARGE = "x" * 1_000_000


def folder(parent: Path, name: str) -> Path:
    """Return the folder of a tier, with the app in it."""
    (parent / name).mkdir()
    (parent / name / "work.py").write_text(TASKS)
    return parent / name


def accept_and_say_nothing(store_url: str, text: str) -> str:
    """Accept a job as somebody does who is killed before its message is published."""
    job = replace(due_job(), task="mark", arguments=json.dumps({"text": text}))

    async def accept() -> None:
        store = open_store(store_url)
        await store.open()
        await store.accept([job])
        await store.close()

    asyncio.run(accept())
    return job.id


def test_each_job_runs_once_however_its_message_comes(way: Way, tmp_path: Path) -> None:
    """One of them has a megabyte of arguments."""
    shared = {"ONECOPY_STORE": f"sqlite:///{tmp_path}/jobs.db", "ONECOPY_ENGINE": way.url}
    texts = [LARGE, *(f"mark {number}" for number in range(40))]
    mail = mail_of(way, tmp_path)
    with service(folder(tmp_path, "web"), *OPTIONS, "0", environment=shared) as web:
        jobs = Jobs(web)
        ids = [jobs.submit("mark", text=text) for text in texts]
        messages = mail.take(len(ids))
        mail.send([*reversed(messages[4:])] * 2)
        with service(folder(tmp_path, "data"), *OPTIONS, "2", environment=shared) as data:
            assert [jobs.wait(job)["result"] for job in ids] == texts
            mail.send(messages)
            ids.append(accept_and_say_nothing(shared["ONECOPY_STORE"], "never"))
            assert jobs.wait(ids[-1])["result"] == "never"
            for job in ids:
                assert jobs.kinds(job) == ["accepted", "claimed", "succeeded"]
            assert sorted(Jobs(data).notes()) == sorted([*texts, "never"])


@pytest.mark.parametrize("way", CELERY, indirect=True)
def test_a_message_of_celery_that_is_of_no_job_ends_no_worker(way: Way, tmp_path: Path) -> None:
    shared = {"ONECOPY_ENGINE": way.url}
    with service(folder(tmp_path, "all"), *OPTIONS, "1", environment=shared) as run:
        jobs = Jobs(run)
        assert jobs.do("mark", text="before")["status"] == "succeeded"
        workers = run.pids("job")
        for name, each in poison.ALL.items():
            poison.put(way.url.removeprefix("celery+"), "mark", each)
            assert jobs.do("mark", text=name)["status"] == "succeeded"
        assert jobs.notes() == ["before", *poison.ALL]
        assert run.pids("job") == workers
        assert "until it is back" not in run.log
