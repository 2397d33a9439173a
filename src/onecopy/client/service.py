"""A onecopy service, as a program that is no part of it sees it."""

import asyncio
import uuid
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
from pydantic_core import to_json

from onecopy.client.job import RemoteJob
from onecopy.client.requests import refused, send
from onecopy.execution.background import finish

_TIMEOUT: Final = 10.0


class Client:
    """Sends jobs to a service and follows them.

    base_url: of the service, as in `https://places.example.com`. prefix: of its routes of jobs.
    headers: sent with each request, as in `{"Authorization": "Bearer ..."}`. timeout: seconds
    for a connection and for an answer. patience: seconds for which a service that is away, or
    says 503, is asked again. transport: of httpx, in place of the network.

    May be used from several event loops, and through the methods that end in `_sync` from none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        prefix: str = "/jobs",
        headers: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT,
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.patience = patience
        self._prefix = prefix
        self._headers = dict(headers or {})
        self._timeout = timeout
        self._transport = transport
        self._open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._open = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"

    async def submit(
        self,
        path: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        callback_url: str | None = None,
    ) -> RemoteJob:
        """Send a job to a task's endpoint and return it: it will be run once this returns.

        path: of the endpoint, as in `/geocode`. arguments: the task's parameters by name; of
        anything that pydantic writes as JSON. idempotency_key: a second request with the same key
        gets the job of the first; by default a new one, so that a request that is sent again
        makes no second job. callback_url: is told how the job ends.

        Raises ServiceUnreachable; RequestRefused, whose `errors` say which arguments do not fit.
        """
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f'"{idempotency_key or uuid.uuid4()}"',
        }
        query = "" if callback_url is None else f"?callback_url={quote(callback_url, safe='')}"
        response = await self.request(
            "POST", f"{self.base_url}{path}{query}", headers, to_json(arguments or {})
        )
        location = response.headers.get("location")
        if response.status_code not in (200, 202) or not location:
            raise refused(response)
        return self._job_at(location)

    def submit_sync(
        self,
        path: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        callback_url: str | None = None,
    ) -> RemoteJob:
        """Return `submit` where there is no event loop."""
        return finish(
            self.submit(path, arguments, idempotency_key=idempotency_key, callback_url=callback_url)
        )

    def job(self, job: str) -> RemoteJob:
        """Return a job by its id, or by its URL; the service is not asked."""
        if "/" in job:
            return self._job_at(job)
        return RemoteJob(self, f"{self.base_url}{self._prefix}/{quote(job, safe='')}")

    def _job_at(self, location: str) -> RemoteJob:
        # The path alone: what is sent along is for this service, and for nobody that it names.
        base = httpx.URL(self.base_url)
        return RemoteJob(self, str(base.copy_with(raw_path=httpx.URL(location).raw_path)))

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        *,
        wait: int = 0,
    ) -> httpx.Response:
        """Send a request, again while the service is away. Raises ServiceUnreachable.

        wait: seconds that the service is asked to wait for a final job.
        """
        sent = dict(headers or {})
        if wait:
            sent["Prefer"] = f"wait={wait}"
        return await send(
            self.http(),
            method,
            url,
            patience=self.patience,
            headers=sent,
            content=content,
            wait=wait,
        )

    def http(self) -> httpx.AsyncClient:
        """Return the connections of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            self._open[loop] = httpx.AsyncClient(
                headers=self._headers, timeout=self._timeout, transport=self._transport
            )
        return self._open[loop]

    async def close(self) -> None:
        """Close the connections of the running event loop; may be called twice."""
        http = self._open.pop(asyncio.get_running_loop(), None)
        if http is not None:
            await http.aclose()

    def close_sync(self) -> None:
        """Close the connections of the methods that end in `_sync`."""
        finish(self.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close_sync()
