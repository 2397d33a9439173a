"""Runs a scenario in a process of its own: what is sealed stays so, and must not be pytest's."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def run(
    scenario: Callable[[], None], *, env: Mapping[str, str] | None = None, timeout: float = 60
) -> str:
    """Run a module's function in a new interpreter, warnings as errors; give what it printed.

    Raises:
        AssertionError: it did not end with exit code 0; says all that it printed.
    """
    command = [sys.executable, "-W", "error", "-m", "tests.heap.alone"]
    ended = subprocess.run(
        [*command, scenario.__module__, scenario.__name__],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ended.returncode == 0, f"exit code {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def scenarios_of(module: ModuleType) -> list[Callable[[], None]]:
    """The public functions that a module of scenarios defines, in their order."""
    return [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def run_in_turn(modules: list[str]) -> None:
    """Run every scenario of these modules, each in a child of its own, and print its name."""
    for module in modules:
        for scenario in scenarios_of(importlib.import_module(module)):
            print(f"{module}:{scenario.__name__}", flush=True)
            pid = os.fork()
            if pid == 0:
                scenario()
                sys.exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert code == 0, f"{scenario.__name__} ended with exit code {code}"


if __name__ == "__main__":
    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])()
