"""A job of a service that this program is no part of."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict, cast

import httpx

from onecopy.client.following import follow
from onecopy.client.requests import refused, retry_after
from onecopy.errors import JobCancelled, JobFailed, JobNotFound, ResultTimeout
from onecopy.execution.background import finish, iterate
from onecopy.jobs import Event, Status

if TYPE_CHECKING:
    from onecopy.client.service import Client

_LONGEST_WAIT: Final = 30
"""Seconds that one request waits: some proxies end those that are silent for a minute."""
_FAILED: Final = "urn:onecopy:problem:job-failed"
_CANCELLED: Final = "urn:onecopy:problem:job-cancelled"


class JobInfo(TypedDict):
    """A job as the service shows it; times are RFC 3339 in UTC."""

    id: str
    task: str
    status: Status
    attempt: int
    max_attempts: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    progress: dict[str, Any] | None
    ordering_key: NotRequired[str]
    result: NotRequired[Any]
    error: dict[str, str] | None
    links: dict[str, str]


class RemoteJob:
    """A job by its URL. Whoever has the URL may read and cancel the job.

    Every method raises ServiceUnreachable when the service is away for longer than the client's
    patience, JobNotFound, and RequestRefused for an answer that says something else.
    """

    def __init__(self, client: "Client", url: str) -> None:
        self._client = client
        self.url = url
        self.id = url.rstrip("/").rpartition("/")[2]

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id}>"

    async def info(self) -> JobInfo:
        """Return the job as it is now."""
        return await self._look("GET")

    async def status(self) -> Status:
        """Return "queued", "running", "succeeded", "failed" or "cancelled"."""
        return (await self.info())["status"]

    async def cancel(self) -> Status:
        """Cancel the job, or ask its attempt to end; return its status."""
        return (await self._look("DELETE"))["status"]

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401, ASYNC109
        """Wait until the job is final and return its result, as JSON has it.

        timeout: seconds to wait; None: as long as it takes.

        Raises JobFailed, JobCancelled, and ResultTimeout if it is not final by then.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LONGEST_WAIT if until is None else until - time.monotonic()
            wait = max(0, min(_LONGEST_WAIT, int(left)))
            asked_at = time.monotonic()
            response = await self._client.request("GET", f"{self.url}/result", wait=wait)
            if response.status_code != 202:
                return self._result_of(response)
            left = float("inf") if until is None else until - time.monotonic()
            if left <= 0:
                raise ResultTimeout(self.id, timeout or 0.0)
            if time.monotonic() - asked_at < wait:
                # It does not wait as long as it was asked to, so the waiting is ours.
                await asyncio.sleep(min(left, retry_after(response) or 1.0))
            elif wait == 0:
                await asyncio.sleep(min(left, 0.1))

    async def events(self, after: int = -1) -> AsyncIterator[Event]:
        """Yield what happens to the job, from the beginning, until it is final.

        after: begin behind the event of this number. After a break of the connection, or a restart
        of the service, it goes on with what has not been seen. The last event has the result in
        its `data`, unless it is large.
        """
        http = self._client.http()
        patience = self._client.patience
        async for event in follow(
            http, self.id, f"{self.url}/events", after=after, patience=patience
        ):
            yield event

    def info_sync(self) -> JobInfo:
        """Return `info` where there is no event loop."""
        return finish(self.info())

    def status_sync(self) -> Status:
        """Return `status` where there is no event loop."""
        return finish(self.status())

    def cancel_sync(self) -> Status:
        """Return `cancel` where there is no event loop."""
        return finish(self.cancel())

    def result_sync(self, timeout: float | None = None) -> Any:  # noqa: ANN401
        """Return `result` where there is no event loop."""
        return finish(self.result(timeout))

    def events_sync(self, after: int = -1) -> Iterator[Event]:
        """Yield `events` where there is no event loop."""
        return iterate(self.events(after))

    async def _look(self, method: str) -> JobInfo:
        response = await self._client.request(method, self.url)
        if response.status_code in (200, 202):
            return cast(JobInfo, response.json())
        raise self._error(response)

    def _result_of(self, response: httpx.Response) -> object:
        if response.status_code == 200:
            return response.json()
        raise self._error(response)

    def _error(self, response: httpx.Response) -> Exception:
        error = refused(response)
        match error.type:
            case _ if error.type == _FAILED:
                said = cast(dict[str, str], error.problem.get("error", {}))
                return JobFailed(self.id, said.get("type", "Failed"), said.get("message", ""))
            case _ if error.type == _CANCELLED:
                return JobCancelled(self.id)
            case _ if response.status_code == 404:
                return JobNotFound(self.id)
            case _:
                return error
