"""scripts/setup: which Python it finds, and the one line it says where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "setup"
COMMANDS = ("sh", "dirname", "uname", "cat")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with next to nothing on it: a folder of commands, and an empty home."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "home").mkdir()
    for command in COMMANDS:
        found = shutil.which(command)
        assert found is not None
        (folder / command).symlink_to(found)
    install(folder, "apt-get", "exit 1")
    return tmp_path


def install(folder: Path, name: str, script: str) -> Path:
    """Put a command on the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / name
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return command


def install_python(folder: Path, name: str) -> Path:
    """Put the Python of this test on the machine, under a name."""
    return install(folder, name, f'exec "{sys.executable}" "$@"')


def install_compiler(machine: Path) -> None:
    """Put the compiler that this Python was built with on the machine."""
    install(machine / "bin", "cc", "exit 0")


def find(machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask which Python would be used."""
    return subprocess.run(
        [SETUP, "find"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            "PATH": str(machine / "bin"),
            "HOME": str(machine / "home"),
            "CC": "cc",
            **environment,
        },
    )


def test_a_python_that_fits_is_found(machine: Path) -> None:
    python = install_python(machine / "bin", "python3")
    install_compiler(machine)
    run = find(machine)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{python}\n", "")


def test_the_python_of_a_version_manager_is_found_where_python3_is_too_old(machine: Path) -> None:
    """The version manager's commands are on the path but fail, as those of pyenv do."""
    install(machine / "bin", "python3", "exit 1")
    install(machine / "bin", f"python{VERSION}", "echo 'pyenv: command not found' >&2; exit 127")
    versions = machine / "home" / ".pyenv" / "versions"
    install(versions / "3.11.7" / "bin", "python3", "exit 1")
    python = install_python(versions / f"{VERSION}.99" / "bin", "python3")
    install_compiler(machine)
    run = find(machine)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{python}\n", "")


def test_a_folder_with_a_space_in_its_name(machine: Path) -> None:
    root = machine / "my versions"
    python = install_python(root / "versions" / f"{VERSION}.1" / "bin", "python3")
    install_compiler(machine)
    assert find(machine, PYENV_ROOT=str(root)).stdout == f"{python}\n"


def test_a_version_that_was_asked_for_is_the_one_that_is_used(machine: Path) -> None:
    python = install_python(machine / "bin", "python3")
    install_compiler(machine)
    assert find(machine, PYTHON=VERSION).stdout == f"{python}\n"
    other = "3.12" if VERSION != "3.12" else "3.13"
    run = find(machine, PYTHON=other)
    assert run.returncode == 1
    assert run.stderr.startswith(f"onecopy: no Python {other} found: sudo apt-get install ")


def test_without_a_python_one_line_says_what_to_install(machine: Path) -> None:
    install(machine / "bin", "python3", "exit 1")
    install_compiler(machine)
    run = find(machine)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith(
        "onecopy: no Python 3.12 or newer found: "
        "sudo apt-get install python3.12 python3.12-venv python3.12-dev"
    )


def test_without_a_compiler_one_line_says_what_to_install(machine: Path) -> None:
    install_python(machine / "bin", "python3")
    run = find(machine)
    assert run.returncode == 1
    assert run.stderr == ("onecopy: no C compiler found: sudo apt-get install build-essential\n")


def test_without_headers_one_line_says_what_to_install(machine: Path) -> None:
    install_python(machine / "bin", "python3")
    install(machine / "bin", "cc", "exit 1")
    run = find(machine)
    assert run.returncode == 1
    assert run.stderr == (
        f"onecopy: Python {VERSION} has no C headers: sudo apt-get install python{VERSION}-dev\n"
    )


def test_without_the_venv_module_one_line_says_what_to_install(machine: Path) -> None:
    install(
        machine / "bin",
        "python3",
        f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"',
    )
    install_compiler(machine)
    run = find(machine)
    assert run.returncode == 1
    assert run.stderr == (
        f"onecopy: Python {VERSION} has no venv module: sudo apt-get install python{VERSION}-venv\n"
    )


def test_a_python_that_lacks_something_is_passed_over_for_one_that_does_not(machine: Path) -> None:
    install(
        machine / "bin",
        "python3",
        f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"',
    )
    python = install_python(machine / "home/.pyenv/versions" / f"{VERSION}.1" / "bin", "python3")
    install_compiler(machine)
    assert find(machine).stdout == f"{python}\n"


def test_anything_else_is_refused() -> None:
    run = subprocess.run(
        [SETUP, "everything"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert run.returncode == 1
    assert run.stderr == "onecopy: scripts/setup takes run, dev, bench or find, not 'everything'\n"
