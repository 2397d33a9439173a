"""The figures of events and webhooks as the tables of docs/benchmarks.md."""

from __future__ import annotations

from benchmarks.tables import Result, aim, table


def events(result: Result) -> str:
    """What was aimed at with open streams of events, and what was reached."""
    figures = result["figures"]
    streams = f"{figures['streams']:,} streams"
    rows = [
        aim("end of a job to its client, p50, ms", figures["end_p50_ms"], figures["aim_end_ms"]),
        ["the same, p99, ms", f"{figures['end_p99_ms']:,.1f}", "", ""],
        aim(
            f"the web worker with {streams}, MB",
            figures["pss_bytes"] / 1e6,
            figures["aim_bytes"] / 1e6,
        ),
        ["the same with none, MB", f"{figures['empty_pss_bytes'] / 1e6:,.0f}", "", ""],
        aim(f"progress reaches {streams}, ms", figures["reach_ms"], figures["aim_reach_ms"]),
        aim("the end reaches them, ms", figures["final_reach_ms"], figures["aim_reach_ms"]),
        ["all are closed after it, ms", f"{figures['closed_ms']:,.0f}", "", ""],
        ["streams opened in a second", f"{figures['opened_per_second']:,.0f}", "", ""],
    ]
    return table(["figure", "measured", "aim: at most", "met"], rows)


def webhooks(result: Result) -> str:
    """Webhooks a second, by the number of receivers."""
    rows = [
        [f"{row['receivers']}", f"{row['per_second']:,.0f}"] for row in result["figures"]["rates"]
    ]
    return table(["receivers", "webhooks/s"], rows)


def hanging(result: Result) -> str:
    """What webhooks to others take while some receivers hang."""
    figures = result["figures"]
    calm, beside = figures["delays"]
    ratio = beside["p99_ms"] / calm["p99_ms"]
    rows = [
        [
            f"{row['hanging']} of {figures['receivers']}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['p99_ms'] / calm['p99_ms']:.2f}",
        ]
        for row in (calm, beside)
    ]
    met = "yes" if ratio <= figures["aim"] else "**no**"
    heads = ["receivers that hang", "the others' p50, ms", "p99, ms"]
    return table([*heads, f"p99 / with none, at most {figures['aim']:g}: {met}"], rows)
