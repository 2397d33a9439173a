"""A whole service whose connections to its broker are cut, late or lost, again and again."""

from pathlib import Path

from tests.running import service, wait_until
from tests.server.jobs_app import TASKS, Jobs
from tests.server.marks import Marks
from tests.ways import HARMS, Way

OPTIONS = ["work:app", "--workers", "1", "--job-workers", "2", "--no-access-log"]


def test_each_job_runs_once_whatever_becomes_of_connections(way: Way, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(TASKS)
    with service(tmp_path, *OPTIONS, environment={"ONECOPY_ENGINE": way.url}) as run:
        wait_until(lambda: len(run.pids("job")) == 2)
        workers = run.pids("job")
        marks = Marks(Jobs(run))
        marks.wait_for_rings()
        for harm in HARMS:
            felt = way.harm(harm)
            wait_until(lambda felt=felt: marks.run_some() and felt(), what=harm)
            way.heal()
        marks.wait_for_rings()
        marks.must_have_run_once()
        assert run.pids("job") == workers, "nobody had to be started again"
