"""Claims that the store has made and whose answers did not arrive."""

from pathlib import Path

from benchmarks.processes import ROOT
from servers.redis import Redis
from tests.running import service
from tests.server.jobs_app import TASKS, Jobs

_APP = f"""{TASKS}
from tests.unheard import lose_answers_to_claims

lose_answers_to_claims(3)
"""


def _run_some(folder: Path, **environment: str) -> None:
    (folder / "work.py").write_text(_APP)
    options = ["work:app", "--workers", "1", "--job-workers", "1"]
    with service(folder, *options, environment={"PYTHONPATH": str(ROOT), **environment}) as run:
        jobs = Jobs(run)
        texts = [f"job {number}" for number in range(6)]
        submitted = [jobs.submit("mark", text=text) for text in texts]
        answers = [jobs.wait(job, 30) for job in submitted]
        # Not one counts as an attempt that failed: the task is not tried again.
        assert [(job["result"], job["attempt"]) for job in answers] == [(text, 1) for text in texts]
        assert sorted(jobs.notes()) == texts
        assert run.log.count("it was claimed here unheard, and is given back") >= 3


def test_what_was_claimed_unheard_is_given_back_and_runs(tmp_path: Path) -> None:
    _run_some(tmp_path)


def test_so_it_is_with_an_engine_that_names_jobs(tmp_path: Path, redis_server: Redis) -> None:
    _run_some(tmp_path, ONECOPY_ENGINE=redis_server.url)
