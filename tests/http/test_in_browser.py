"""A browser's own EventSource and WebSocket, without a module of ours."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Page, browser
from tests.running import Service, service, wait_until
from tests.server.jobs_app import Jobs
from tests.server.test_events import APP, OPTIONS

PAGE = """
from fastapi.responses import HTMLResponse

@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return "<!doctype html><link rel=icon href='data:,'>"
"""
FOLLOW = """
globalThis.told = [];
globalThis.answers = [];
globalThis.source = new EventSource("/jobs/%s/events");
source.onmessage = ({ data, lastEventId }) => told.push([JSON.parse(data), lastEventId]);
source.onopen = () => answers.push("open");
source.onerror = () => answers.push(source.readyState);
"""
CONNECT = """
new Promise(resolve => {
  const told = [], socket = new WebSocket(new URL("/jobs/%s", document.baseURI));
  socket.onopen = () => %s;
  socket.onmessage = ({ data }) => {
    told.push(JSON.parse(data));
    if (told.at(-1).kind === "claimed") socket.send(JSON.stringify({ cancel: told.at(-1).job }));
  };
  socket.onclose = ({ code, reason }) => resolve({ told, code, reason });
})
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("in-browser")
    (folder / "steps.py").write_text(APP + PAGE)
    with service(folder, *OPTIONS) as started:
        yield started


@pytest.fixture
def page(run: Service, tmp_path: Path) -> Generator[Page]:
    with browser(tmp_path) as opened:
        opened.open(f"http://127.0.0.1:{run.port}/")
        yield opened


def test_an_event_source_resumes_over_a_reload_and_ends(run: Service, page: Page) -> None:
    job = Jobs(run).submit("steps", pause=0.05)
    page.value(FOLLOW % job)
    wait_until(lambda: page.value("told.length") > 3, what="events")
    old = run.pids("web")
    run.signal(1)
    wait_until(lambda: not set(old) & set(run.pids("web")), what="the reload")
    wait_until(lambda: page.value("answers.length") >= 3, what="the second stream")
    (run.folder / "end").touch()
    wait_until(lambda: page.value("source.readyState") == 2, what="the end of it")
    told: list[tuple[dict[str, Any], str]] = page.value("told")
    assert [event["number"] for event, _ in told] == [*range(len(told))]
    assert [last for _, last in told] == [str(number) for number in range(len(told))]
    assert told[-1][0]["kind"] == "succeeded"
    assert told[-1][0]["result"] == 20
    # Opened, told to come again; opened, ended; 204: it comes no more. In between it may have come
    # on an old connection to a worker that leaves, and been told the same again.
    answers = page.value("answers")
    assert answers in (["open", 0, "open", 0, 2], ["open", 0, "open", 0, "open", 0, 2])
    assert page.errors == []


def test_a_web_socket_of_one_job(run: Service, page: Page) -> None:
    (run.folder / "end").unlink(missing_ok=True)
    job = Jobs(run).submit("steps", pause=0.05)
    found = page.value(CONNECT % (f"{job}/ws", "0"))
    assert found["told"][-1]["kind"] == "cancelled"
    assert (found["code"], found["reason"]) == (1000, "the job has ended")


def test_pages_of_other_origins_may_not_connect(run: Service, page: Page) -> None:
    job = Jobs(run).submit("steps", pause=0.05)
    page.open(f"http://localhost:{run.port}/")
    script = CONNECT % (f"{job}/ws", "0")
    found = page.value(script.replace("document.baseURI", f"'http://127.0.0.1:{run.port}'"))
    assert found["told"] == []
    assert (found["code"], found["reason"]) == (1008, "pages of this origin may not connect")
    (run.folder / "end").touch()
