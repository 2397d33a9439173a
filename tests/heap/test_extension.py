"""The extension's C: compiles without a warning, and runs under sanitizers without a complaint."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.heap import building
from tests.heap.alone import ROOT

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")
SCENARIOS = ("reach", "leave_alone", "programs", "caches", "registry")


@pytest.mark.parametrize("compiler", building.COMPILERS)
def test_it_compiles_without_a_warning(compiler: str, tmp_path: Path) -> None:
    building.compile_extension(
        building.heap_sources(), "_immortal", tmp_path, "-O2", *building.WARNINGS, compiler=compiler
    )


def test_it_is_empty_where_python_cannot_be_sealed(tmp_path: Path) -> None:
    package = _package(tmp_path)
    building.compile_extension(
        building.heap_sources(),
        "_immortal",
        package / "heap",
        '-DPYPY_VERSION="7.3"',
        *building.WARNINGS,
    )
    ended = subprocess.run(
        [sys.executable, "-c", "from onecopy import heap; print(heap.seal())"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "immortal=False, reason='this is not CPython'" in ended.stdout
    assert ended.stderr.count("RuntimeWarning") == 1


@pytest.mark.timeout(300)
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    runtime = _address_sanitizer()
    package = _package(tmp_path)
    sources = building.heap_sources()
    building.compile_extension(
        sources, "_immortal", package / "heap", *SANITIZE, *building.WARNINGS
    )
    building.compile_extension([Path(__file__).parent / "native" / "hidden.c"], "hidden", tmp_path)
    modules = [f"tests.heap.scenarios.{name}" for name in SCENARIOS]
    code = (
        "import onecopy; print(onecopy.__file__); "
        f"from tests.heap import alone; alone.run_in_turn({modules})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "PYTHONMALLOC": "malloc",
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "ONECOPY_SANITIZED": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-5000:]
    assert str(package) in ended.stdout
    assert ended.stdout.count("tests.heap.scenarios") > 40


def _package(folder: Path) -> Path:
    """A copy of onecopy, for an extension that is built otherwise."""
    package = folder / "onecopy"
    shutil.copytree(ROOT / "src" / "onecopy", package, ignore=shutil.ignore_patterns("*.so"))
    return package


def _address_sanitizer() -> str:
    """The library that must come first in a program that is not itself compiled with it."""
    ended = subprocess.run(
        [building.COMPILERS[0], "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    )
    path = ended.stdout.strip()
    if not Path(path).is_absolute() and os.environ.get("CI") != "true":
        pytest.skip("the compiler has no address sanitizer")
    assert Path(path).is_absolute(), "the compiler has no address sanitizer"
    return path
