"""Ordering keys from end to end: many job workers, tries, deaths, and none overtakes."""

from pathlib import Path

from tests.running import service, wait_until
from tests.server.jobs_app import Jobs
from tests.server.ordered import APP, must_be_in_order, run_in_order

OPTIONS = ["app:app", "--workers", "1", "--job-workers", "4", "--no-access-log"]


def test_one_after_the_other_whatever_happens_to_them(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with service(tmp_path, *OPTIONS) as run:
        run_in_order(run)
        jobs = Jobs(run)
        beside = jobs.submit("step", customer=None, number=0)
        assert "ordering_key" not in jobs.wait(beside)


def test_a_service_that_is_killed_goes_on_in_order(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with service(tmp_path, *OPTIONS) as run:
        jobs = Jobs(run)
        ids = [jobs.submit("step", customer="c0", number=n) for n in range(60)]
        wait_until(lambda: len(jobs.notes()) > 30)
        run.kill()
    with service(tmp_path, *OPTIONS) as run:
        jobs = Jobs(run)
        for job in ids:
            assert jobs.wait(job)["status"] == "succeeded"
    must_be_in_order(tmp_path / "notes", "c0", 60)
