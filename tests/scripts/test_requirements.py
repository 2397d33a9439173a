"""The locked requirements: all that pyproject.toml asks for, with hashes, from nowhere special."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["run.txt", "dev.txt", "bench.txt"]


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / lock).read_text()


def locked(lock: str) -> dict[str, str]:
    """The version of each package in a lock."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", text_of(lock), re.MULTILINE))


def named(requirements: list[object]) -> set[str]:
    """The packages of a list in pyproject.toml."""
    names = (re.match(r"[A-Za-z0-9-]+", each) for each in requirements if isinstance(each, str))
    return {name[0].lower() for name in names if name}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_path(lock: str) -> None:
    assert not re.search(r"://|index-url|find-links|trusted-host|file:|\s/", text_of(lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_each_package_has_its_hashes(lock: str) -> None:
    packages = re.split(r"^(?=[a-z])", text_of(lock), flags=re.MULTILINE)[1:]
    assert len(packages) == len(locked(lock)) > 20
    assert all("--hash=sha256:" in package for package in packages)


def test_all_that_is_asked_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    groups = project["dependency-groups"]
    always = named(project["project"]["dependencies"]) | named(groups["demo"])
    run = always | named(extras["standard"]) | named(extras["fastapi"])
    dev = run | named(extras["gunicorn"]) | named(groups["dev"])
    assert run <= locked("run.txt").keys()
    assert dev <= locked("dev.txt").keys()
    assert dev | named(groups["bench"]) <= locked("bench.txt").keys()


@pytest.mark.parametrize(("smaller", "larger"), [*pairwise(LOCKS)])
def test_locks_have_the_same_versions(smaller: str, larger: str) -> None:
    versions = locked(larger)
    assert {name: versions[name] for name in locked(smaller)} == locked(smaller)
