"""Builds C for tests: the extension under sanitizers, and a module with types that hide things."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

from tests.heap.alone import ROOT

HEAP: Final = ROOT / "src" / "onecopy" / "heap"
COMPILERS: Final = tuple(found for name in ("gcc", "clang") if (found := shutil.which(name)))
WARNINGS: Final = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wstrict-prototypes", "-Werror")


def compile_extension(
    sources: list[Path], name: str, folder: Path, *options: str, compiler: str = COMPILERS[0]
) -> Path:
    """Compile an extension module into a folder.

    Raises:
        AssertionError: the compiler refused; says what it printed.
    """
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    command = [compiler, "-std=c11", "-fPIC", "-shared", "-fno-strict-aliasing", *options]
    command += [f"-I{each}" for each in includes] + [str(each) for each in sources]
    ended = subprocess.run(
        [*command, "-o", str(target)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return target


def heap_sources() -> list[Path]:
    return [HEAP / "_immortal.c", *sorted((HEAP / "native").glob("*.c"))]
