"""The figures of the benchmarks of jobs as the tables of docs/benchmarks.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables import Result, aim, megabytes, table


def jobs(result: Result) -> str:
    """Jobs a second and latencies of onecopy and its peers."""
    celery = _celery(result)
    rows = [
        [
            f"{peer['name']}: `{peer['command']}`",
            f"{peer['jobs_per_second']:,.0f}",
            _times(peer, celery, "jobs_per_second"),
            f"{peer['loaded_p50_ms']:,.1f}",
            f"{peer['loaded_p99_ms']:,.1f}",
            f"{peer['burst_jobs_per_second']:,.0f}",
            _times(peer, celery, "burst_jobs_per_second"),
            f"{peer['idle_p50_ms']:.2f}",
            f"{peer['idle_p99_ms']:.2f}",
        ]
        for peer in result["figures"]["peers"]
    ]
    heads = ["worker", "jobs/s", "/ Celery", "p50, ms", "p99, ms", "burst, jobs/s", "/ Celery"]
    return table([*heads, "idle p50, ms", "idle p99, ms"], rows)


def jobs_aims(result: Result) -> str:
    """What was aimed at: throughput as a multiple of Celery's, and the median when idle."""
    figures, celery = result["figures"], _celery(result)
    ours = [peer for peer in figures["peers"] if peer["name"].startswith("onecopy")]
    rows: list[list[str]] = []
    for peer in ours:
        if celery is not None:
            name = f"jobs/s of {peer['name']} / of Celery, at least"
            rate = peer["jobs_per_second"] / celery["jobs_per_second"]
            rows.append(aim(name, rate, figures["aim_times_celery"], least=True))
        name = f"idle p50 of {peer['name']}, ms, at most"
        rows.append(aim(name, peer["idle_p50_ms"], figures["aim_idle_ms"]))
    return table(["figure", "measured", "aim", "met"], rows)


def accept_brokers(result: Result) -> str:
    """Jobs accepted with the broker and without it."""
    rows = [
        [
            row["store"],
            row["broker"],
            f"{row['up_per_second']:,.0f}",
            f"{row['down_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            _met(result["figures"]["aim"] <= row["ratio"] <= 1 / result["figures"]["aim"]),
        ]
        for row in result["figures"]["rows"]
    ]
    heads = ["store", "engine", "jobs/s", "jobs/s, broker away", "ratio", "within 10%"]
    return table(heads, rows)


def call(result: Result) -> str:
    """Calls, beside the echo; the aim is the larger of a time and of a multiple of the echo."""
    figures = result["figures"]
    ways = figures["ways"]
    limit = max(figures["aim_us"], figures["aim_echoes"] * ways[0]["p50_us"])
    rows = [
        [
            way["name"],
            f"{way['p50_us']:,.0f}",
            f"{way['p99_us']:,.0f}",
            f"{way['echoes']:.1f}",
            _met(way["p50_us"] <= limit) if way["name"].startswith("call") else "",
        ]
        for way in ways
    ]
    heads = [
        "question and answer",
        "p50, µs",
        "p99, µs",
        "p50 / echo's",
        f"at most {limit:,.0f} µs",
    ]
    return table(heads, rows)


def accept(result: Result) -> str:
    """Jobs accepted over HTTP, beside bare answers; the aim is of the first server."""
    figures = result["figures"]
    rows = [
        [
            f"{server['name']}: `{server['command']}`",
            f"{server['bare_per_second']:,.0f}",
            f"{server['bare_p99_ms']:.1f}",
            f"{server['job_per_second']:,.0f}",
            f"{server['job_p99_ms']:.1f}",
            f"{server['ratio']:.2f}",
            "" if number else _met(server["ratio"] >= figures["aim"]),
        ]
        for number, server in enumerate(figures["servers"])
    ]
    heads = ["server", "bare, requests/s", "p99, ms", "jobs accepted/s", "p99, ms", "jobs / bare"]
    return table([*heads, f"at least {figures['aim']:g}"], rows)


def one_copy(result: Result) -> str:
    """Web and job workers that all read everything, beside one web worker."""
    figures = result["figures"]
    one = figures["services"][0]["pss_bytes"]
    rows = [
        [
            service["name"],
            megabytes(service["pss_bytes"]),
            f"{service['pss_bytes'] / one:.3f}",
            *(_own(service, role) for role in ("web", "job", "image", "supervisor")),
        ]
        for service in figures["services"]
    ]
    met = f"at most {figures['aim']:g}: {_met(figures['ratio'] <= figures['aim'])}"
    heads = ["service", "memory", f"ratio, {met}", "a web worker's own", "a job worker's own"]
    return table([*heads, "the image's own", "the supervisor's own"], rows)


def _own(service: dict[str, Any], role: str) -> str:
    own = service["private_bytes"].get(role)
    return "" if own is None else f"{own / 1e6:.1f} MB"


def chaos(result: Result) -> str:
    """What was done to a service, and what it has cost."""
    figures = result["figures"]
    rows = [
        ["jobs answered 202", f"{figures['accepted']:,}"],
        ["others on record, whose answer was lost", f"{figures['unanswered']:,}"],
        ["attempts", f"{figures['attempts']:,}"],
        ["processes killed by SIGKILL", _counted(figures["kills"])],
        ["processes stopped for up to two seconds", _counted(figures["stops"])],
        ["lost: answered 202, or on record, and never final", f"{figures['lost']}"],
        ["attempts of one job that overlap", f"{figures['overlaps']}"],
        ["histories that are not complete, or wrong", f"{figures['faults']}"],
    ]
    return table(["what", "count"], rows)


def chaos_servers(result: Result) -> str:
    """The same on other stores and engines, whose servers are killed too."""
    rows = [
        [
            name,
            f"{figures['accepted']:,}",
            _counted(figures["kills"]),
            f"{figures['lost']}",
            f"{figures['overlaps']}",
            f"{figures['faults']}",
        ]
        for name, figures in sorted(result["figures"].items())
    ]
    return table(["store, engine", "answered 202", "killed", "lost", "overlaps", "faults"], rows)


def _counted(counts: dict[str, int]) -> str:
    each = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values())}: {each}"


def growth(result: Result) -> str:
    """What calls of the store take by the length of the queue; the longest / the shortest."""
    figures = result["figures"]
    calls = ("accept", "claim", "finish")
    queues, ratios = figures["growth"]["queues"], figures["growth"]["ratios"]
    rows = [
        [
            f"{queue['queued']:,}",
            *(f"{queue[f'{call}_ms']:.2f}" for call in calls),
            *([megabytes(queue["bytes"])] if "bytes" in queue else []),
        ]
        for queue in queues
    ]
    met = [f"{ratios[call]:.2f}: {_met(ratios[call] <= figures['aim'])}" for call in calls]
    file = ["file"] if "bytes" in queues[0] else []
    rows.append(
        [f"the longest / the shortest, at most {figures['aim']:g}", *met, *("" for _ in file)]
    )
    return table(["jobs queued", *(f"{call}, ms" for call in calls), *file], rows)


def throughput(result: Result) -> str:
    """Whole jobs a second by the number of callers at once."""
    rows = [
        [
            f"`synchronous={row['synchronous']}`, {row['callers']}",
            f"{row['jobs_per_second']:,.0f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
        ]
        for row in result["figures"]["throughput"]
    ]
    return table(["callers at once", "jobs/s", "p50, ms", "p99, ms"], rows)


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _celery(result: Result) -> Result | None:
    """What was measured of Celery; None if it was left out."""
    peers: list[Result] = result["figures"]["peers"]
    return next((peer for peer in peers if peer["name"].startswith("Celery")), None)


def _times(peer: dict[str, Any], celery: Result | None, figure: str) -> str:
    return "-" if celery is None else f"{peer[figure] / celery[figure]:.1f}"
