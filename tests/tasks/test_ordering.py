"""Ordering keys: said with a sending, or by a function of the task's."""

# The parameters of a lambda that is given arguments by name are of no known type.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from onecopy import OneCopy
from onecopy.errors import ArgumentsInvalid, DeclarationError
from onecopy.execution.background import finish
from onecopy.jobs import Job
from onecopy.tasks import Task
from onecopy.testing.tasks import MemoryRuntime, jobs_in_memory


def _task(shared: OneCopy, key: Any) -> Task[..., None]:  # noqa: ANN401  anything
    @shared.task(ordering_key=key)
    def order(customer: str, amount: int = 3) -> None: ...

    return order


def _key_of(jobs: MemoryRuntime, job: str) -> str | None:
    found: Job | None = finish(jobs.job(job))
    assert found is not None
    return found.ordering_key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (lambda customer: f"customer-{customer}", "customer-7"),
        (lambda amount: str(amount), "3"),
        (lambda amount, customer: f"{customer}/{amount}", "7/3"),
        (lambda **arguments: ",".join(arguments), "customer,amount"),
        (lambda customer, other="x": customer + other, "7x"),
        (lambda: "all", "all"),
        (lambda customer: None, None),
        (None, None),
    ],
)
def test_a_task_makes_keys_of_arguments(
    key: Callable[..., str | None] | None, expected: str | None
) -> None:
    shared = OneCopy()
    task = _task(shared, key)
    with jobs_in_memory(shared) as jobs:
        assert _key_of(jobs, task.submit_sync("7").id) == expected
        [job] = task.submit_many_sync([("7",)])
        assert _key_of(jobs, job.id) == expected
        assert _key_of(jobs, task.options(ordering_key="mine").submit_sync("7").id) == "mine"
        assert _key_of(jobs, task.options(ordering_key=None).submit_sync("7").id) is None


@pytest.mark.parametrize("key", ["", "x" * 257, "a\nb", 7])
def test_what_is_no_key_is_refused(key: Any) -> None:  # noqa: ANN401  anything
    shared = OneCopy()
    with pytest.raises(DeclarationError, match="ordering_key is 1 to 256"):
        _task(shared, None).options(ordering_key=key)
    with (
        jobs_in_memory(shared),
        pytest.raises(ArgumentsInvalid, match="ordering_key is 1 to 256"),
    ):
        _task(OneCopy(), lambda customer: key).submit_sync("7")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda cutomer: cutomer, "there is no 'cutomer'"),
        (lambda customer, /: customer, "by name"),
        ("customer", "is no function"),
    ],
)
def test_functions_that_cannot_be_called(key: Any, words: str) -> None:  # noqa: ANN401  anything
    with pytest.raises(DeclarationError, match=words):
        _task(OneCopy(), key)


def test_over_http() -> None:
    shared, app = OneCopy(), FastAPI()

    def key(customer: str) -> str:
        return {"7": "seven", "8": ""}[customer]

    app.post("/order")(_task(shared, key).endpoint)
    shared.install(app)
    transport = httpx.ASGITransport(app)

    async def scenario() -> None:
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            job = await client.post("/order", json={"customer": "7"})
            assert (job.status_code, job.json()["ordering_key"]) == (202, "seven")
            shown = await client.get(job.headers["location"])
            assert shown.json()["ordering_key"] == "seven"
            for customer, words in (("8", "1 to 256 printable"), ("9", "has raised KeyError: '9'")):
                refused = await client.post("/order", json={"customer": customer})
                assert refused.status_code == 422
                assert refused.json()["type"] == "urn:onecopy:problem:arguments-invalid"
                assert words in refused.json()["errors"][0]["detail"]

    with jobs_in_memory(shared):
        asyncio.run(scenario())


def test_jobs_of_a_key_run_in_order_in_memory() -> None:
    shared, ran = OneCopy(), list[str]()

    @shared.task(ordering_key=lambda customer: customer)
    def order(customer: str, number: int) -> None:
        ran.append(f"{customer}{number}")

    with jobs_in_memory(shared) as jobs:
        order.options(delay=10).submit_sync("a", 1)
        order.submit_sync("a", 2)
        order.options(priority=5).submit_sync("b", 1)
        assert jobs.run() == 1
        jobs.advance(10)
        jobs.run()
    assert ran == ["b1", "a1", "a2"]
