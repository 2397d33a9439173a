"""Puts the figures of `benchmarks/results/` into docs/benchmarks.md and draws docs/one_copy.svg.

Usage: `python -m benchmarks.report`. In docs/benchmarks.md everything between
`<!-- figures: NAME -->` and `<!-- end -->` is written anew; the words around it are written by
hand. A benchmark that has no result file here leaves its tables as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import _facts, engine_tables, event_tables, job_tables, tables
from benchmarks.chart import Bar, bars

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "benchmarks.md"
CHART: Final = DOCS / "one_copy.svg"

_BLOCK: Final = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

type Render = Callable[[dict[str, Any]], str]

# The blocks of the page: which benchmark each takes its figures from, and how it is drawn.
BLOCKS: Final[dict[str, tuple[str, Render]]] = {
    "machine": ("one_copy", tables.machine),
    "one_copy": ("one_copy", tables.servers),
    "one_copy_aims": ("one_copy", tables.aims),
    "spread": ("one_copy", tables.spread),
    "sharing": ("sharing", tables.sharing),
    "seal": ("seal", tables.seal),
    "eight_gigabytes": ("eight_gigabytes", tables.eight_gigabytes),
    "jobs": ("jobs", job_tables.jobs),
    "jobs_machine": ("jobs", tables.machine),
    "jobs_aims": ("jobs", job_tables.jobs_aims),
    "engines": ("engines", engine_tables.engines),
    "engines_aims": ("engines", engine_tables.engines_aims),
    "call": ("call", job_tables.call),
    "accept": ("accept", job_tables.accept),
    "chaos_servers": ("chaos_servers", job_tables.chaos_servers),
    "accept_brokers": ("accept_brokers", job_tables.accept_brokers),
    "one_copy_jobs": ("one_copy_jobs", job_tables.one_copy),
    "chaos": ("chaos", job_tables.chaos),
    "growth": ("growth", job_tables.growth),
    "growth_redis": ("growth_redis", job_tables.growth),
    "growth_postgres": ("growth_postgres", job_tables.growth),
    "store": ("growth", job_tables.throughput),
    "events": ("events", event_tables.events),
    "webhooks": ("webhooks", event_tables.webhooks),
    "hanging": ("webhooks", event_tables.hanging),
}


def main() -> None:
    results = {path.stem: json.loads(path.read_text()) for path in _facts.RESULTS.glob("*.json")}
    page = PAGE.read_text()
    PAGE.write_text(_BLOCK.sub(lambda block: _filled(block, results), page))
    if "one_copy" in results:
        CHART.write_text(_chart(results["one_copy"]["figures"]))
    print(f"drawn from: {', '.join(sorted(results)) or 'nothing'}")


def _filled(block: re.Match[str], results: dict[str, dict[str, Any]]) -> str:
    benchmark, render = BLOCKS[block[2]]
    if benchmark not in results:
        return block[0]
    return f"{block[1]}\n{render(results[benchmark])}\n\n{block[3]}"


def _chart(figures: dict[str, Any]) -> str:
    rates = {turn["name"]: turn["requests_per_second"] for turn in figures["turns"]}
    rows = [
        Bar(
            label=server["name"],
            value=server["loaded_pss_bytes"],
            note=f"{tables.megabytes(server['loaded_pss_bytes'])}, "
            f"{rates[server['name']]:,.0f} req/s",
            ours="onecopy" in server["name"],
        )
        for server in figures["servers"]
    ]
    return bars(
        "One copy of the data, whatever the number of workers",
        f"Memory of all processes after {figures['seconds']:.0f} s of load on the gazetteer; "
        "4 workers unless it says 1",
        rows,
    )


if __name__ == "__main__":
    main()
