"""A Celery app of somebody's, and a service that adopts two tasks of it."""

# The parameters of a task have no hints, as many people write them.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownVariableType=false

import os
from typing import Any

from celery import Celery
from fastapi import FastAPI

from onecopy import OneCopy

tasks = Celery("existing", broker=os.environ["BROKER"], set_as_current=False)
tasks.conf.task_default_queue = "existing"
tasks.conf.task_routes = {"routed": {"queue": "elsewhere"}}
tasks.conf.broker_connection_retry_on_startup = True


@tasks.task(name="double")
def double(number: int) -> int:
    return 2 * number


@tasks.task(name="stubborn", bind=True, max_retries=3)
def stubborn(self: Any, failures, kind="retry"):  # noqa: ANN001, ANN201, ANN401
    if self.request.retries < failures:
        raise self.retry(exc=ValueError(f"no. {self.request.retries}"), countdown=0.05)
    if kind == "fail":
        raise LookupError("nothing there")
    return {"retries": self.request.retries}


@tasks.task(name="routed")
def routed() -> str:
    return "by its route"


shared = OneCopy(celery=tasks)
app = FastAPI()
shared.install(app)
adopted = {task.name: shared.adopt(task) for task in (double, stubborn, routed)}
app.post("/double")(adopted["double"].endpoint)
app.post("/stubborn")(adopted["stubborn"].endpoint)
app.post("/routed")(adopted["routed"].endpoint)


@shared.task
def ours(x: int) -> int:
    return x + 1


app.post("/ours")(ours.endpoint)
