"""The facts of the machine, and the file that a benchmark leaves its figures in."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"

_PACKAGES = (
    *("onecopy", "uvicorn", "uvloop", "httptools", "gunicorn", "fastapi", "pydantic"),
    *("numpy", "pandas", "celery", "taskiq", "taskiq-redis", "huey", "redis"),
)


def machine() -> dict[str, str | int]:
    """The facts that a reader needs to judge the figures by."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
    }


def versions() -> dict[str, str]:
    """The versions of the packages that the figures depend on, those that are installed."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def save(benchmark: str, figures: dict[str, Any]) -> Path:
    """Write the figures of a benchmark, with the machine's facts, to `benchmarks/results/`.

    The file is `<benchmark>.json`; the one before is replaced.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{benchmark}.json"
    result = {
        "benchmark": benchmark,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "figures": figures,
    }
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {path.relative_to(Path.cwd(), walk_up=True)}", file=sys.stderr)
    return path


def saved(benchmark: str) -> dict[str, Any]:
    """Return the figures of a benchmark that were written before; none if there are none."""
    path = RESULTS / f"{benchmark}.json"
    return json.loads(path.read_text())["figures"] if path.exists() else {}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
