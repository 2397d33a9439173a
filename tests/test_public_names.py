"""The public door, kept exact: a name more or less here is a decision."""

import subprocess
import sys

import pytest

import onecopy
from onecopy import app, datasets, errors

PUBLIC = {
    "Dataset",
    "Elsewhere",
    "Failed",
    "JobContext",
    "JobHandle",
    "OneCopy",
    "Progress",
    "Retry",
    "Task",
    "TimeLimitReached",
    "current_job",
}


def test_the_names_of_the_package() -> None:
    assert set(onecopy.__all__) == PUBLIC


def test_each_name_is_what_its_module_defines() -> None:
    assert onecopy.OneCopy is app.OneCopy
    assert onecopy.Dataset is datasets.Dataset
    assert (onecopy.Retry, onecopy.Failed) == (errors.Retry, errors.Failed)
    assert all(getattr(onecopy, name).__name__ == name for name in PUBLIC)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Tasks'"):
        vars(onecopy)["__getattr__"]("Tasks")


def test_the_names_of_the_datasets_package() -> None:
    expected = {"Dataset", "Warmer", "keep_out", "registered", "warmers"}
    assert set(datasets.__all__) == expected


def test_the_errors_are_in_one_place() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert value.__module__ == "onecopy.errors", name


def modules_after(statement: str) -> set[str]:
    """The modules that a new interpreter holds after one statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_imports_nothing_else_of_ours() -> None:
    ours = {name for name in modules_after("import onecopy") if name.startswith("onecopy.")}
    assert ours == set()


def test_declaring_a_task_needs_no_server_and_no_framework() -> None:
    loaded = modules_after("from onecopy import OneCopy; OneCopy().task(lambda: 1)")
    assert not loaded & {"onecopy.server", "onecopy.cli", "uvicorn", "fastapi", "click", "rich"}


def test_defining_a_dataset_needs_no_server_and_no_framework() -> None:
    loaded = modules_after("from onecopy import OneCopy; OneCopy().dataset(lambda: 1)")
    assert not loaded & {"onecopy.server", "onecopy.cli", "uvicorn", "fastapi", "click", "rich"}
