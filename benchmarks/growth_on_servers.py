"""What a claim and an acceptance cost as the queue grows, in stores on servers.

`python -m benchmarks.growth_on_servers redis`: a server of its own, as durable as it can be, with
queues of 10 thousand and 1 million jobs side by side. The rounds are those of `benchmarks.growth`.
Aim: the longer queue takes at most 1.5 times as long as the shorter.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import batched
from pathlib import Path
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts
from benchmarks.growth import AIM, Queue, delayed, measure
from onecopy.stores.urls import open_store
from servers.kinds import KINDS

LENGTHS: Final = (10_000, 1_000_000)
AT_ONCE: Final = 500  # jobs that are accepted in one call
CALLS: Final = 4  # under way at a time
OWN: Final = {"redis": "prefix", "postgres": "schema"}
"""The option of a store's URL by which one server holds several."""


async def growth(kind: str, url: str, lengths: Sequence[int]) -> dict[str, Any]:
    """Measure queues of these lengths in turns."""
    async with AsyncExitStack() as stack:
        queues: list[Queue] = []
        for length in lengths:
            store = open_store(f"{url}?{OWN[kind]}=queue_{length}")
            await store.open()
            stack.push_async_callback(store.close)
            queues.append(Queue(length, store))
            await _fill(queues[-1])
        rows, ratios = await measure(queues)
    return {"store": kind, "queues": rows, "ratios": ratios}


async def _fill(queue: Queue) -> None:
    """Let a queue have its length; a tenth of the jobs are not due yet."""
    calls = batched(batched(range(queue.length), AT_ONCE), CALLS)
    steps = -(-queue.length // (AT_ONCE * CALLS))
    for some in track(calls, f"{queue.length:,} jobs", total=steps):
        await asyncio.gather(
            *(queue.store.accept([delayed(number) for number in numbers]) for numbers in some)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", default=[*OWN], help=f"of {', '.join(OWN)}")
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="of queues")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # a server that does not run as root has its data in there
        for kind in options.stores:
            with KINDS[kind](Path(folder) / kind) as server:
                grown = asyncio.run(growth(kind, server.url, options.lengths))
            _facts.save(f"growth_{kind}", {"aim": AIM, "growth": grown})


if __name__ == "__main__":
    main()
