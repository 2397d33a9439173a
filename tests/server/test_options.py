import http.client
import json
import ssl
from pathlib import Path
from typing import Any, cast

import click
import pytest
import trustme
from uvicorn.main import main as uvicorn_command

from onecopy.cli import run as run_module
from onecopy.server import control
from tests.running import Service, run_to_its_end, service, wait_until
from tests.server.jobs_app import TASKS, Jobs


def _names(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_every_option_of_uvicorn_is_taken() -> None:
    ours = _names(run_module.command)
    missing = _names(uvicorn_command) - ours - {"--version", "--timeout-worker-healthcheck"}
    assert not missing


def test_every_option_has_a_variable() -> None:
    variables: list[str] = []
    for parameter in run_module.command.params:
        envvar = parameter.envvar
        assert envvar is not None, parameter.name
        variables.append(envvar if isinstance(envvar, str) else envvar[0])
    assert all(variable.startswith("ONECOPY_") for variable in variables)
    assert len(set(variables)) == len(variables)
    assert {"ONECOPY_WORKERS", "ONECOPY_MAX_REQUESTS", "ONECOPY_RELOAD_DIR"} <= set(variables)


def test_tls(folder: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(folder / "chain.pem"), append=True)
    options = ["--ssl-keyfile", "key.pem", "--ssl-certfile", "chain.pem", "--workers", "2"]
    with service(folder, "plain:app", *options) as run:
        assert "https://" in run.log
        context = ssl.create_default_context()
        cast(Any, authority).configure_trust(context)
        for _ in range(4):
            connection = http.client.HTTPSConnection("localhost", run.port, context=context)
            connection.request("GET", "/")
            assert connection.getresponse().read()
            connection.close()


def test_env_file_and_log_config(folder: Path) -> None:
    (folder / "variables.env").write_text("GREETING=hello from the file\n")
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"own": {"format": "OWN %(message)s"}},
        "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
        "root": {"handlers": ["own"], "level": "INFO"},
    }
    (folder / "log.json").write_text(json.dumps(config))
    (folder / "reads.py").write_text(
        "import logging, os\n"
        "logging.getLogger('reads').info('greeting: %s', os.environ['GREETING'])\n"
        "from plain import app\n"
    )
    options = ["--env-file", "variables.env", "--log-config", "log.json", "--workers", "1"]
    with service(folder, "reads:app", *options) as run:
        assert "OWN greeting: hello from the file" in run.log
        assert "OWN Application startup complete" in run.log


def test_warnings_only(folder: Path) -> None:
    with Service(folder, "plain:app", "--log-level", "warning", "--workers", "1") as run:
        wait_until(lambda: _serves(run))
        assert run.stop() == 0
        assert run.log == ""


def _serves(run: Service) -> bool:
    try:
        return bool(run.pids("web"))
    except control.NotRunning:
        return False


@pytest.mark.parametrize(
    ("text", "size"), [("200MB", 200_000_000), ("1.5GiB", 1_610_612_736), ("1000", 1000)]
)
def test_sizes(text: str, size: int) -> None:
    parameter = next(p for p in run_module.command.params if p.name == "max_worker_memory")
    assert parameter.type.convert(text, parameter, None) == size


def test_queues_are_served_by_their_weights(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        TASKS
        + """
@app.get("/mix")
async def mix() -> None:
    for queue in ["default"] * 6 + ["slow"] * 6:
        await mark.options(queue=queue).submit(queue)
"""
    )
    options = ["--workers", "1", "--job-workers", "1", "--queues", "slow:1,default:2"]
    with service(tmp_path, "work:app", *options) as run:
        jobs = Jobs(run)
        jobs.submit("block", seconds=1)
        jobs.wait_for_note(lambda note: note.startswith("begin"))
        run.get("/mix")
        wait_until(lambda: len(jobs.notes()) == 14)
        first = jobs.notes()[2:11]
        assert first.count("default") in (5, 6), first


def test_queues_that_are_none(folder: Path) -> None:
    code, log = run_to_its_end(folder, "plain:app", "--queues", "default:3,slow")
    assert code != 0
    assert "--queues: 'default:3,slow': give each queue a weight, or none" in log
