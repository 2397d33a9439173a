"""A service whose store is not there when it starts."""

from pathlib import Path

from servers.redis import Redis
from tests.running import run_to_its_end, service, wait_until
from tests.server.jobs_app import TASKS, Jobs
from tests.servers import must_be_installed


def test_job_workers_wait_for_a_store_that_comes_later(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(TASKS)
    server = Redis(tmp_path / "redis")
    must_be_installed(server)
    environment = {"ONECOPY_STORE": server.url}
    options = ["work:app", "--workers", "1", "--job-workers", "1"]
    with service(tmp_path, *options, environment=environment) as run:
        jobs = Jobs(run)
        wait_until(lambda: "no job can be run yet" in run.log)
        workers = run.pids("job")
        assert jobs.ask("POST", "/mark", {"text": "early"})[0] == 503
        with server:
            assert jobs.do("mark", text="late")["result"] == "late"
            assert run.pids("job") == workers
        assert run.log.count("no job can be run yet") == 1


def test_an_engine_that_there_is_not_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(TASKS)
    environment = {"ONECOPY_ENGINE": "carrier-pigeon://user:secret@host"}
    code, said = run_to_its_end(tmp_path, "work:app", environment=environment)
    assert code != 0
    assert "cannot start: engine: 'carrier-pigeon' is no engine" in said
    assert "secret" not in said
