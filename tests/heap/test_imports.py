"""What the heap costs those who use it alone."""

import subprocess
import sys
from pathlib import Path

import pytest

import onecopy.heap

SOURCES = Path(onecopy.heap.__file__).parents[2]


def modules_after(statement: str) -> set[str]:
    """The modules that a bare interpreter loads for a statement."""
    code = (
        f"import sys; sys.path.insert(0, {str(SOURCES)!r}); before = set(sys.modules); "
        f"{statement}; "
        "print(*(set(sys.modules) - before))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return set(ended.stdout.split())


def test_the_heap_is_used_with_no_server_and_no_web_framework() -> None:
    loaded = modules_after("from onecopy import heap; heap.seal(); heap.probe(); heap.size([])")
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"fastapi", "starlette", "uvicorn", "gunicorn", "click", "rich", "numpy"}
    ours = {name for name in loaded if name.startswith("onecopy.")}
    assert {name for name in ours if not name.startswith("onecopy.heap")} == set()


def test_measuring_memory_imports_next_to_nothing() -> None:
    loaded = modules_after(
        "from onecopy.heap._memory import memory; import os; memory([os.getpid()])"
    )
    assert not loaded & {
        "dataclasses",
        "typing",
        "re",
        "enum",
        "subprocess",
        "inspect",
        "functools",
    }


@pytest.mark.parametrize("name", onecopy.heap.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(onecopy.heap, name).__module__.startswith("onecopy.heap.")


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'unseal'"):
        _ = onecopy.heap.unseal
