"""A program that submits jobs to one peer: `python -m benchmarks.jobs.client PEER LOAD ...`.

A process of its own for each measurement, so that no peer's threads and garbage are in another's
figures. It writes what the load came to into a file, as JSON: some peers log where others print.
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path

from benchmarks.jobs import loads
from benchmarks.jobs.apps.seam import Peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", help="a module of benchmarks.jobs.apps")
    parser.add_argument("--submitters", type=int, required=True)
    parser.add_argument("--seconds", type=float, help="of submitting and waiting in turns")
    parser.add_argument("--burst", type=int, help="jobs submitted before any is waited for")
    parser.add_argument("--figures", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    peer: Peer = import_module(f"benchmarks.jobs.apps.{options.peer}").PEER
    if options.burst is not None:
        load = loads.burst(peer, options.submitters, options.burst)
    else:
        load = loads.in_turns(peer, options.submitters, options.seconds)
    options.figures.write_text(json.dumps(load))


if __name__ == "__main__":
    main()
