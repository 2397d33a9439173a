"""`/jobs/client.js` in a real browser, and as a file."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Page, browser
from tests.http.service import Service as App
from tests.http.service import service as app_in_memory
from tests.running import Service, service, wait_until

APP = """
import time
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from onecopy import Failed, OneCopy, Progress

shared = OneCopy()
app = FastAPI()
shared.install(app, prefix="/work/jobs")

@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return "<!doctype html><link rel=icon href='data:,'>"

@shared.task
def steps(count: int, progress: Progress) -> int:
    for _ in progress.track(range(count)):
        time.sleep(0.05)
    return count

@shared.task
def hopeless() -> None:
    raise Failed("it is of no use")

app.post("/steps")(steps.endpoint)
app.post("/hopeless")(hopeless.endpoint)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("client-js")
    (folder / "work.py").write_text(APP)
    with service(folder, "work:app", "--workers", "2", "--job-workers", "1") as started:
        yield started


@pytest.fixture(scope="module")
def opened(running: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        page.open(f"http://127.0.0.1:{running.port}/")
        yield page


def run(page: Page, script: str) -> Any:  # noqa: ANN401  whatever the script returns
    """Run a script with the module's names; return its value, or the name of what it threw."""
    names = "{ submit, follow, cancel, Problem }"
    return page.value(
        f"import('/work/jobs/client.js').then(async ({names}) => {{ {script} }})"
        ".catch(error => ({ thrown: error.name, message: error.message, status: error.status }))"
    )


def test_a_job_is_sent_and_followed_to_its_result(opened: Page) -> None:
    found = run(
        opened,
        """
        const job = await submit("/steps", { count: 30 });
        const numbers = [], kinds = new Set(), seen = [];
        const done = await follow(job, {
          onevent: event => { numbers.push(event.number); kinds.add(event.kind); },
          onchange: job => seen.push([job.status, job.progress?.done ?? null]),
        });
        return { done, numbers, kinds: [...kinds], seen };
        """,
    )
    assert (found["done"]["status"], found["done"]["result"]) == ("succeeded", 30)
    assert found["numbers"] == [*range(len(found["numbers"]))]
    assert found["kinds"] == ["accepted", "claimed", "progress", "succeeded"]
    shown = [done for status, done in found["seen"] if status == "running" and done is not None]
    assert shown == sorted(shown)
    assert len(shown) > 5
    assert found["seen"][-1] == ["succeeded", 30]
    assert opened.errors == []


def test_a_job_is_followed_by_its_id_its_path_and_its_url(opened: Page) -> None:
    found = run(
        opened,
        """
        const { id, links } = await submit("/steps", { count: 1 });
        const all = [id, links.self, new URL(links.self, location.href)];
        return (await Promise.all(all.map(job => follow(job)))).map(job => job.result);
        """,
    )
    assert found == [1, 1, 1]


def test_failed_and_cancelled_jobs_are_told_and_not_thrown(opened: Page) -> None:
    found = run(
        opened,
        """
        const failed = await follow(await submit("/hopeless"));
        const job = await submit("/steps", { count: 1000 });
        const end = follow(job);
        await cancel(job);
        return [failed.status, failed.error.message, (await end).status];
        """,
    )
    assert found == ["failed", "it is of no use", "cancelled"]


def test_following_can_be_given_up(opened: Page) -> None:
    found = run(
        opened,
        """
        const job = await submit("/steps", { count: 1000 });
        const end = new AbortController();
        const following = follow(job, { signal: end.signal, onevent: () => end.abort() });
        const name = await following.catch(error => error.name);
        await cancel(job);
        return name;
        """,
    )
    assert found == "AbortError"


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        ("return await submit('/steps', { count: 'x' })", 422, "The arguments do not fit the task"),
        ("return await submit('/steps', {})", 422, "The arguments do not fit the task"),
        ("return await follow('unknown')", 404, "There is no such job"),
        ("return await cancel('unknown')", 404, "There is no such job"),
        ("return await submit('/nowhere')", 404, ""),
    ],
)
def test_what_the_service_refuses(opened: Page, script: str, status: int, message: str) -> None:
    thrown = run(opened, script)
    assert (thrown["thrown"], thrown["status"]) == ("Problem", status)
    assert message in thrown["message"]
    opened.errors.clear()


def test_a_killed_web_worker_is_not_noticed(running: Service, opened: Page) -> None:
    """Its streams are resumed at another, with nothing left out and nothing twice."""
    script = """
        globalThis.heard = [];
        const job = await submit("/steps", { count: 100 });
        globalThis.ended = follow(job, { onevent: event => heard.push(event.number) });
        """
    run(opened, script)
    wait_until(lambda: opened.value("heard.length") > 3, what="events")
    for pid in running.pids("web"):
        os.kill(pid, signal.SIGKILL)
    done = opened.value("ended")
    assert (done["status"], done["result"]) == ("succeeded", 100)
    numbers = opened.value("heard")
    assert numbers == [*range(len(numbers))]
    opened.errors.clear()


@pytest.fixture
def in_memory() -> Iterator[App]:
    with app_in_memory() as running:
        yield running


def test_it_is_fetched_once(in_memory: App) -> None:
    first = in_memory.send("GET", "/jobs/client.js")
    assert first.status_code == 200
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "export async function follow" in first.text
    known = {"If-None-Match": first.headers["etag"]}
    again = in_memory.send("GET", "/jobs/client.js", known)
    assert (again.status_code, again.content) == (304, b"")
    assert "/jobs/client.js" not in in_memory.app.openapi()["paths"]


def test_it_is_in_the_package() -> None:
    import onecopy.http

    assert Path(onecopy.http.__file__).with_name("client.js").is_file()
