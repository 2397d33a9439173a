"""Messages that a broker delivers to Celery's workers twice, in another order and never; poison."""

from pathlib import Path

import pytest

from tests.celery import poison
from tests.celery.worker import Tier, Worker
from tests.mail import mail_of
from tests.ways import CELERY, Way

pytestmark = pytest.mark.parametrize("way", CELERY, indirect=True)


@pytest.fixture
def tier(way: Way, tmp_path: Path) -> Tier:
    return Tier(tmp_path, way.url)


def test_each_job_runs_once_however_its_message_comes(way: Way, tier: Tier, tmp_path: Path) -> None:
    traces = [tmp_path / f"trace {number}" for number in range(12)]
    jobs = tier.submit_many("count", [{"path": str(trace)} for trace in traces])
    mail = mail_of(way, tmp_path)
    messages = mail.take(len(jobs))
    mail.send([*reversed(messages[4:])] * 2)
    with Worker(tier):
        for job in jobs:
            tier.result(job)
        mail.send(messages)
        assert tier.result(tier.submit("add", x=1, y=1)) == 2
    assert [trace.read_text() for trace in traces] == ["x"] * len(traces)
    kinds = ["accepted", "claimed", "succeeded"]
    assert all([event.kind for event in tier.events(job)] == kinds for job in jobs)


def test_a_message_that_is_of_no_job_ends_no_worker(way: Way, tier: Tier) -> None:
    with Worker(tier) as worker:
        assert tier.result(tier.submit("add", x=1, y=0)) == 1
        processes = worker.children()
        for each in poison.ALL.values():
            poison.put(way.url.removeprefix("celery+"), "add", each)
            assert tier.result(tier.submit("add", x=1, y=1)) == 2
        assert worker.children() == processes
        # It begins anew by none of these; a busy machine may cost it one connection.
        assert worker.log.count("Connection to broker lost") <= 1
