"""What the pages say can be done is done here: Python, commands, options, links."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.docs.pages import PAGES, ROOT, anchors_of, commands_of, links_of, python_of, shown
from tests.running import service

WITH_PYTHON = [page for page in PAGES if python_of(page).strip()]
WITH_COMMANDS = [page for page in PAGES if commands_of(page)]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=shown)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    """All of it, from top to bottom, in a process of its own: it may seal."""
    script = tmp_path / "page.py"
    script.write_text(python_of(page))
    run = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_the_app_of_the_readme_is_served(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(python_of(ROOT / "README.md"))
    with service(tmp_path, "app:app", "--workers", "2") as running:
        assert running.get("/capitals/Switzerland") == "Bern"
        assert "loaded dataset capitals" in running.log


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=shown)
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    for program, *words in commands_of(page):
        if program == "onecopy":
            name, *arguments = words
            command = command_named(name)
            while isinstance(command, click.Group):
                command = command.commands[arguments.pop(0)]
            command.make_context(name, arguments)
        elif program == "make":
            subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, check=True)
        else:
            assert words[:2] == ["-c", "python:onecopy.gunicorn"]


def command_named(name: str) -> click.Command:
    """One of the commands of `onecopy`."""
    command = importlib.import_module(f"onecopy.cli.{name}").command
    assert isinstance(command, click.Command)
    return command


def test_the_options_that_are_explained_exist() -> None:
    explained = set(re.findall(r"`(--[a-z-]+)", (ROOT / "docs" / "run.md").read_text()))
    options = {option for each in command_named("run").params for option in each.opts}
    assert len(explained) > 8
    assert explained <= options


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target), link


def test_each_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if match := re.fullmatch(r'  "([a-z-]+)[^"]*[>=]=[^"]*",', line):
            assert match[1] in reasons, match[1]
