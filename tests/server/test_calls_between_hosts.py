"""Calls between hosts: two services, each with a state folder of its own, and one store."""

from pathlib import Path

from tests.running import run_to_its_end, service, wait_until
from tests.server.jobs_app import TASKS

SECRET = "0123456789abcdef0123456789abcdef"


def host(folder: Path, name: str) -> Path:
    """Return the folder of a host, with the app in it."""
    (folder / name).mkdir()
    (folder / name / "work.py").write_text(TASKS)
    return folder / name


def test_a_web_tier_calls_the_workers_of_another_host(tmp_path: Path) -> None:
    call_between_hosts(tmp_path, f"sqlite:///{tmp_path}/jobs.sqlite3")


def call_between_hosts(folder: Path, store: str) -> None:
    """Have a web tier call a worker of another host, which it finds in their store."""
    shared = {"ONECOPY_STORE": store, "ONECOPY_CALLS_SECRET": SECRET}
    listens = {**shared, "ONECOPY_CALLS": "127.0.0.1:0"}
    options = ["work:app", "--workers", "1", "--no-access-log", "--job-workers"]
    with (
        service(host(folder, "web"), *options, "0", environment=shared) as web,
        service(host(folder, "data"), *options, "1", environment=listens) as data,
    ):
        wait_until(lambda: web.get("/call/mark") == ["result", "called"])
        assert "called" in (folder / "data" / "notes").read_text()
        assert SECRET not in web.log + data.log


def test_calls_of_other_hosts_without_a_secret_are_refused_at_the_start(tmp_path: Path) -> None:
    listens = {"ONECOPY_CALLS": "127.0.0.1:0"}
    code, said = run_to_its_end(host(tmp_path, "data"), "work:app", environment=listens)
    assert code == 1
    assert "ONECOPY_CALLS: calls of other hosts need ONECOPY_CALLS_SECRET" in said
