"""The events of a job over Server-Sent Events, resumed after every break."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
from httpx_sse import EventSource

from onecopy.client.requests import AWAY, Patience, in_words, refused, retry_after
from onecopy.errors import JobNotFound, RequestRefused, ServiceUnreachable
from onecopy.jobs import Event
from onecopy.representation import read_event

_SILENCE: Final = 45.0
"""Seconds without a byte after which a connection is dead: the service says something every 15."""


class _Broken(Exception):
    """The stream ended before the job did. wait: seconds that the service asks to wait."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


async def follow(
    http: httpx.AsyncClient, job: str, url: str, *, after: int, patience: float
) -> AsyncIterator[Event]:
    """Yield the events of a job with numbers over `after`, until it has ended; none twice.

    Raises JobNotFound, ServiceUnreachable, RequestRefused.
    """
    tries = Patience(patience)
    while True:
        try:
            async for event in _stream(http, job, url, after):
                after = event.number
                tries.begin_anew()
                yield event
            return
        except _Broken as broken:
            if not await tries.wait(broken.wait):
                raise ServiceUnreachable(url, str(broken)) from None


async def _stream(http: httpx.AsyncClient, job: str, url: str, after: int) -> AsyncIterator[Event]:
    """Yield what one connection brings. Raises _Broken unless nothing will follow any more.

    A final event is the last one only if the stream ends there: the job may have been run again.
    """
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after >= 0:
        headers["Last-Event-ID"] = str(after)
    timeout = httpx.Timeout(http.timeout.connect, read=_SILENCE)
    retry: float | None = None
    final = False
    try:
        async with http.stream("GET", url, headers=headers, timeout=timeout) as response:
            if response.status_code == 204:
                return
            await _must_stream(response, job)
            async for sent in EventSource(response).aiter_sse():
                retry = retry if sent.retry is None else sent.retry / 1000
                if sent.data:
                    event = read_event(sent.data)
                    final = event.final
                    yield event
    except httpx.TransportError as error:
        if not final:
            raise _Broken(in_words(error), retry) from None
    if not final:
        raise _Broken("the stream of events ended before the job did", retry)


async def _must_stream(response: httpx.Response, job: str) -> None:
    if response.status_code in AWAY:
        raise _Broken(f"it answers {response.status_code}", retry_after(response))
    if response.status_code == 404:
        raise JobNotFound(job)
    if response.status_code != 200:
        await response.aread()
        raise refused(response)
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise RequestRefused(str(response.url), 200, {"detail": "it answers with no stream"})
