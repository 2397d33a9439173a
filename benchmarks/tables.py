"""The figures of each benchmark as the tables of docs/benchmarks.md."""

from __future__ import annotations

from typing import Any

type Result = dict[str, Any]


def megabytes(count: float) -> str:
    """Bytes as people read them, in powers of 1000."""
    return f"{count / 1e6:,.0f} MB" if count < 999_500_000 else f"{count / 1e9:,.2f} GB"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first hold figures and are set to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(result: Result) -> str:
    """What the figures were measured on and with."""
    facts, versions = result["machine"], result["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{facts['cpu']}, {facts['cpus']} CPUs, {megabytes(facts['memory_bytes'])} of memory, "
        f"{facts['kernel']}, CPython {facts['python']}; {packages}. "
        f"Measured {result['measured_at'][:10]}."
    )


def servers(result: Result) -> str:
    """The five servers: memory, throughput, readiness."""
    found = result["figures"]["servers"]
    plain = found[0]
    rates = _rates(result)
    rows = [
        [
            f"`{server['command']}`",
            megabytes(server["loaded_pss_bytes"]),
            f"{server['loaded_pss_bytes'] / plain['loaded_pss_bytes']:.2f}",
            f"{rates[server['name']]:,.0f}",
            f"{rates[server['name']] / rates[plain['name']]:.2f}",
            f"{server['ready_seconds']:.1f}",
            f"{server['worker_private_bytes'][-1] / 1e6:,.1f} MB",
        ]
        for server in found
    ]
    heads = ["server", "memory", "ratio", "requests/s", "ratio", "ready, s", "a worker's own"]
    return table(heads, rows)


def aims(result: Result) -> str:
    """The aims of `onecopy run`, and what was reached."""
    figures = result["figures"]
    by_name = {server["name"]: server for server in figures["servers"]}
    four, one = by_name["onecopy run, 4 workers"], by_name["onecopy run, 1 worker"]
    rates = _rates(result)
    reuse_port, ours = figures["spread"]
    worker = figures["worker"]
    idle, after = worker["worker_private_bytes"]
    rows = [
        aim(
            "memory of 4 workers / of 1 worker",
            four["loaded_pss_bytes"] / one["loaded_pss_bytes"],
            1.05,
        ),
        aim(
            "requests/s of plain Gunicorn / of `onecopy run`",
            rates["gunicorn"] / rates[four["name"]],
            1.0,
        ),
        aim(
            f"ready later than importing and loading takes ({figures['load_seconds']:.1f} s), s",
            four["ready_seconds"] - figures["load_seconds"],
            1.0,
        ),
        aim("a worker's own memory, idle, MB", idle / 1e6, 5),
        aim(
            f"the same after {worker['requests']:,} requests of {worker['clients']} clients, MB",
            after / 1e6,
            8,
        ),
        aim("the supervisor's own memory, MB", four["root_private_bytes"] / 1e6, 6),
        aim(
            "p99 of 8 clients on 4 workers, 2 ms handler / SO_REUSEPORT's",
            ours["p99_ms"] / reuse_port["p99_ms"],
            1.2,
        ),
    ]
    return table(["figure", "measured", "aim, at most", "met"], rows)


def spread(result: Result) -> str:
    """Few clients on several workers: how evenly the connections are spread."""
    rows = [
        [
            server["name"],
            f"{server['p99_ms']:.1f}",
            ", ".join(f"{value:.1f}" for value in server["p99_ms_runs"]),
            f"{server['requests_per_second']:,.0f}",
        ]
        for server in result["figures"]["spread"]
    ]
    return table(["server", "p99, ms (median)", "of each run", "requests/s"], rows)


def _rates(result: Result) -> dict[str, float]:
    """Requests a second of each server, when they were loaded in turns."""
    return {turn["name"]: turn["requests_per_second"] for turn in result["figures"]["turns"]}


def aim(name: str, measured: float, limit: float, *, least: bool = False) -> list[str]:
    """A row: what was measured, what was aimed at, at most or at least, and whether it is met."""
    met = measured >= limit if least else measured <= limit
    return [name, f"{measured:.2f}", f"{limit:g}", "yes" if met else "**no**"]


def sharing(result: Result) -> str:
    """How much of each kind of data stays shared while other processes use it."""
    rows = [
        [
            case["case"],
            f"{case['frozen_copies']:.2f}",
            f"{case['copies']:.3f}",
            f"{case['sealed_by_plain']:.2f}",
        ]
        for case in result["figures"]["cases"]
    ]
    heads = ["data, and what the readers do", "`gc.freeze()`", "sealed", "one copy, sealed / plain"]
    return table(heads, rows)


def seal(result: Result) -> str:
    """How long a seal takes, and the memory that it needs for itself."""
    rows = [
        [
            f"{run['objects'] / 1e6:,.1f} million",
            megabytes(run["bytes"]),
            f"{run['seconds']:.2f}",
            f"{run['seconds'] / run['objects'] * 1e7:.2f}",
            f"{run['peak_extra_bytes'] / run['bytes']:.1%}",
        ]
        for run in result["figures"]["runs"]
    ]
    heads = ["objects", "their bytes", "seconds", "seconds / 10 million", "more memory at the peak"]
    return table(heads, rows)


def eight_gigabytes(result: Result) -> str:
    """Eight gigabytes of ordinary objects, and the workers that read all of it."""
    figures = result["figures"]
    one, total = figures["one_copy_bytes"], figures["total_bytes"]
    rows = [
        ["objects sealed", f"{figures['objects']:,}"],
        ["seconds to seal them", f"{figures['seal_seconds']:.1f}"],
        ["seconds to fork one process", f"{figures['fork_seconds']:.2f}"],
        ["one process before the seal", megabytes(figures["plain_bytes"])],
        ["one process, sealed", megabytes(one)],
        [f"with {figures['readers']} forked readers of all of it, in all", megabytes(total)],
        ["copies (aim: at most 1.02)", f"{total / one:.3f}"],
    ]
    return table(["figure", "measured"], rows)
