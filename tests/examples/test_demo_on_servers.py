"""The demo on a store and an engine of other servers, which it starts: `make demo ENGINE=...`."""

from pathlib import Path

import pytest

from servers.kinds import KINDS
from tests.examples.demo import Demo
from tests.servers import must_be_installed


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "store"), [("kafka", "postgres"), ("rabbitmq", "redis")])
def test_the_same_app_runs_by_two_variables(tmp_path: Path, engine: str, store: str) -> None:
    for name in (engine, store):
        must_be_installed(KINDS[name](tmp_path))
    with Demo(tmp_path, "--port", "18000", "--engine", engine, "--store", store) as demo:
        demo.wait_until_it_is_up()
        demo.has_answered()
        demo.end()
