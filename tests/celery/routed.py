"""The tasks of `work`, one of which the app's own routes send to a queue of its own."""

from tests.celery.work import count, shared

shared.celery.conf.task_routes = {"count": {"queue": "elsewhere"}}

__all__ = ["count", "shared"]
