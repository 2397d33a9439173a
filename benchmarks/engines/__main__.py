"""A job that does nothing, from submit to result, by engine and store, beside bare peers.

`python -m benchmarks.engines`: the loads of `benchmarks.jobs`, through one worker process each.
The peers use the same servers in the same run; FastStream keeps nothing of a message, and stands
for the round trip of a bare broker. Aims: engine `celery` at least 0.8 of bare Celery; `redis` at
least 3 times Celery; `rabbitmq` and `kafka` a median of at most twice the bare round trip.

Whatever is not installed is left out, with the reason.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import _facts
from benchmarks.engines.peers import PEERS, SERVERS, Peer
from benchmarks.jobs.turns import Measured, Size, in_turns
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="turns of all")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--submitters", type=int, default=32)
    parser.add_argument("--burst", type=int, default=512, help="jobs that are submitted at once")
    parser.add_argument("--only", nargs="*", help="words of names; nothing is written then")
    options = parser.parse_args()
    size = Size(options.rounds, options.seconds, options.submitters, options.burst)
    peers: list[Peer] = []
    left_out: dict[str, str] = {}
    for peer in PEERS:
        if options.only is not None and not any(word in peer.name for word in options.only):
            continue
        if (reason := peer.missing()) is not None:
            print(f"{peer.name} is left out: {reason}", file=sys.stderr)
            left_out[peer.name] = reason
        else:
            peers.append(peer)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)  # a server that does not run as root has its data in there
        rows = measure(peers, place, size)
    for row in rows:
        print(_line(row))
    if options.only is None:
        _facts.save("engines", {"submitters": size.submitters, "peers": rows, "left_out": left_out})


def measure(peers: list[Peer], folder: Path, size: Size) -> list[dict[str, Any]]:
    """Run servers and workers side by side, and measure in turns."""
    with ExitStack() as running:
        servers = {
            name: running.enter_context(SERVERS[name](folder / name.replace(" ", "-")))
            for name in sorted({name for peer in peers for name in peer.servers})
        }
        measured: list[Measured] = []
        for number, peer in enumerate(peers):
            place = folder / f"peer-{number}"
            urls = {name: _own(servers[name], number) for name in peer.servers}
            environment = running.enter_context(peer.running(place, urls))
            measured.append(Measured(peer, place, environment))
        in_turns(measured, size)
        return [
            each.figures() | {"celery": peer.celery}
            for each, peer in zip(measured, peers, strict=True)
        ]


def _own(server: Server, number: int) -> str:
    """Return the URL of a part of a server that no other peer uses: their queues have one name."""
    if isinstance(server, RabbitMQ):
        return server.virtual_host(f"peer-{number}")
    if isinstance(server, Redis):
        return f"{server.url.removesuffix('0')}{number}"
    return server.url


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['name']:>36}: {row['jobs_per_second']:>6,.0f} jobs/s, "
        f"p50 {row['loaded_p50_ms']:.1f} ms, p99 {row['loaded_p99_ms']:.1f} ms; "
        f"in bursts {row['burst_jobs_per_second']:>6,.0f} jobs/s; "
        f"idle p50 {row['idle_p50_ms']:.2f} ms, p99 {row['idle_p99_ms']:.2f} ms"
    )


if __name__ == "__main__":
    main()
