"""Streams of events through nginx, as it is configured for any other service."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.http.event_source import Browser, asked, frames
from tests.running import Service, service, wait_until
from tests.server.jobs_app import Jobs
from tests.server.test_events import APP, OPTIONS

CONFIG = """
daemon off;
error_log stderr;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    gzip on;
    gzip_types *;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, upstream: int) -> Generator[int]:
    """Start an nginx in front of a port; without one, skip, but fail where CI=true."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no nginx is installed")
        pytest.skip("no nginx is installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, upstream=upstream))
    process = subprocess.Popen(
        [program, "-c", config, "-p", folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port), what="nginx")
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "steps.py").write_text(APP)
    with service(folder, *OPTIONS) as started:
        yield started


@pytest.fixture(scope="module")
def url(run: Service) -> Generator[str]:
    with nginx(run.folder, run.port) as port:
        yield f"http://127.0.0.1:{port}"


def test_nothing_is_kept_back(run: Service, url: str) -> None:
    job = Jobs(run).submit("steps", pause=0.1)

    async def scenario() -> None:
        async with asked(f"{url}/jobs/{job}/events", {"Accept-Encoding": "gzip"}) as answer:
            kinds: list[str] = []
            async for frame in frames(answer):
                if frame.data is not None:
                    kinds.append(frame.data["kind"])
                    if kinds.count("progress") == 3:
                        # Only what has arrived can have the job end.
                        (run.folder / "end").touch()
        assert kinds[-1] == "succeeded"

    with _fresh(run):
        asyncio.run(asyncio.wait_for(scenario(), 30))


def test_streams_are_resumed_over_a_reload(run: Service, url: str) -> None:
    job = Jobs(run).submit("steps", pause=0.05)

    async def scenario() -> None:
        browsers = [Browser(url, job) for _ in range(10)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.follow()) for each in browsers]
            while not all(each.told for each in browsers):  # noqa: ASYNC110  they do not say so
                await asyncio.sleep(0.02)
            old = run.pids("web")
            run.signal(signal.SIGHUP)
            await asyncio.to_thread(wait_until, lambda: not set(old) & set(run.pids("web")))
            (run.folder / "end").touch()
        for told in (each.result() for each in following):
            assert [event["number"] for event in told] == [*range(len(told))]
            assert told[-1]["kind"] == "succeeded"
        assert all(browser.answers == [200, 200, 204] for browser in browsers)

    with _fresh(run):
        asyncio.run(scenario())


def test_a_client_that_leaves_nginx_leaves_the_service_too(run: Service, url: str) -> None:
    job = Jobs(run).submit("steps", pause=0.05)

    async def scenario() -> None:
        async with asked(f"{url}/jobs/{job}/events") as answer:
            await anext(frames(answer))
            assert _connections(run.port) >= 1
        await asyncio.to_thread(wait_until, lambda: _connections(run.port) == 0, what="its end")

    with _fresh(run):
        asyncio.run(scenario())


@contextlib.contextmanager
def _fresh(run: Service) -> Generator[None]:
    """Have no job end before it is told to."""
    (run.folder / "end").unlink(missing_ok=True)
    yield
    (run.folder / "end").touch()


def _connections(port: int) -> int:
    """Return how many connections to a port are established."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines
    )


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
