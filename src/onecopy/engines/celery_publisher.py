"""Publishes the messages of jobs, in a thread: Celery's connections block."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from kombu import Producer

from onecopy.engines.celery_app import DEFAULT_QUEUE, with_patience
from onecopy.engines.celery_message import body_of, headers_of

if TYPE_CHECKING:
    from celery import Celery

    from onecopy.jobs import Job


class Unpublished(Exception):
    """The broker cannot be reached, or has refused; says why. `left` was not published."""

    def __init__(self, reason: str, left: Sequence[Job]) -> None:
        super().__init__(reason, left)
        self.reason = reason
        self.left = left


class Publisher:
    """A connection to the broker of an app, made at its first use; for one thread."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None
        self._producer: Producer | None = None
        self._queues: dict[tuple[str, str], Any] = {}
        """By queue and task: what the routes of the app say of them."""

    def publish(self, jobs: Sequence[Job]) -> None:
        """Publish a message for each job. Raises Unpublished."""
        done = 0
        try:
            producer = self._producer = self._producer or self._connect()
            for job in jobs:
                self._publish(producer, job)
                done += 1
        except Exception as error:  # of the transport: each has its own
            self.close()
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise Unpublished(reason, jobs[done:]) from error

    def _connect(self) -> Producer:
        connection = self._connection = with_patience(self._app.connection_for_write())
        connection.ensure_connection(max_retries=1, timeout=2)
        return Producer(connection.default_channel)

    def _publish(self, producer: Producer, job: Job) -> None:
        exchange, routing_key, queue = self._route(job)
        producer.publish(
            body_of(job),
            exchange=exchange,
            routing_key=routing_key,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers_of(job),
            declare=[queue],
            correlation_id=job.id,
            reply_to="",
            retry=False,
            delivery_mode=2,
        )

    def _route(self, job: Job) -> tuple[str, str, Any]:
        """Where the routes of the app send a task; else the queue of the job's name."""
        known = self._queues.get((job.queue, job.task))
        if known is None:
            amqp: Any = self._app.amqp
            route = cast("dict[str, Any]", amqp.router.route({}, job.task) or {})
            queue = route.get("queue") or amqp.default_queue
            if queue.name == amqp.default_queue.name and job.queue != DEFAULT_QUEUE:
                queue = amqp.queues[job.queue]
            direct = queue.exchange.type == "direct"
            known = (
                ("", queue.name, queue)
                if direct
                else (queue.exchange.name, route.get("routing_key") or queue.routing_key, queue)
            )
            self._queues[job.queue, job.task] = known
        return known

    def close(self) -> None:
        """Let go of the connection; may be called twice."""
        connection, self._connection = self._connection, None
        self._producer = None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()
