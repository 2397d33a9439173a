"""The client of many streams, the receivers of webhooks, and the tables of their figures."""

import asyncio
from typing import Any

import httpx

from benchmarks import event_tables
from benchmarks.events.crowd import Crowd
from benchmarks.webhooks.receivers import Receivers, timestamp


def test_a_crowd_counts_who_is_told_and_who_is_ended() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"GET /jobs/j/events ")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nid: 0\ndata: {}\n\n")
        writers.append(writer)

    async def scenario() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            crowd = Crowd(server.sockets[0].getsockname()[1], "j")
            await crowd.open(3)
            crowd.expect()
            for writer in writers:
                writer.write(b"id: 1\ndata: {}\n\n")
            told = await crowd.all_told()
            assert len(told) == 3
            assert min(told) >= crowd.began
            for writer in writers:
                writer.close()
            assert len(await crowd.all_closed()) == 3

    asyncio.run(scenario())


def test_receivers_note_what_arrives_unless_they_hang() -> None:
    async def scenario() -> None:
        async with Receivers(2) as told, httpx.AsyncClient(trust_env=False) as client:
            told.hanging = 1
            told.expect(1)
            hangs = asyncio.create_task(client.post(told.urls[0], content=b"{}"))
            body = b'{"timestamp": "2026-11-23T19:49:31.904Z"}'
            assert (await client.post(told.urls[1], content=body)).status_code == 200
            await told.all_arrived()
            assert [timestamp(each) for _, each in told.arrived] == ["2026-11-23T19:49:31.904Z"]
            assert not hangs.done()
            hangs.cancel()

    asyncio.run(scenario())


def test_what_is_not_met_stands_out() -> None:
    def row(hanging: int, p99: float) -> dict[str, Any]:
        return {"hanging": hanging, "p50_ms": 1.0, "p99_ms": p99}

    def drawn(p99: float) -> str:
        figures = {"aim": 1.25, "receivers": 20, "delays": [row(0, 10.0), row(2, p99)]}
        return event_tables.hanging({"figures": figures})

    assert "at most 1.25: yes" in drawn(12.0)
    assert "at most 1.25: **no**" in drawn(13.0)
