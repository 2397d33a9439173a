"""The error tree: what a message says, what can be read from it, and the traceback shown."""

import importlib.util
import inspect
import pickle
import re
from pathlib import Path

import pytest

from onecopy import errors
from onecopy.datasets import Dataset
from onecopy.errors import (
    DatasetCycle,
    DatasetExists,
    DatasetLoadError,
    OneCopyError,
    UserCodeError,
    WarmError,
    user_traceback,
)

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, OneCopyError)
}


def test_the_tree_drawn_is_the_tree() -> None:
    """Each class stands in the drawing once, under its parent."""
    drawn = re.findall(r"^ {4}([│├└─ ]*)(\w+)(?= |$)", errors.__doc__ or "", re.MULTILINE)
    above: list[str] = []
    parents: dict[str, str] = {}
    for indent, name in drawn:
        level = len(indent) // 4
        parents[name] = above[level - 1] if level else "Exception"
        above[level:] = [name]
    own = {name: kind for name, kind in CLASSES.items() if kind is not UserCodeError}
    assert parents == {name: parent(kind).__name__ for name, kind in own.items()}


def parent(kind: type[Exception]) -> type:
    """The class above; UserCodeError is a mark, drawn as (*)."""
    above = kind.__bases__[0]
    return OneCopyError if above is UserCodeError else above


def test_every_error_says_what_it_is() -> None:
    for kind in CLASSES.values():
        assert inspect.getdoc(kind)


@pytest.mark.parametrize(
    "error",
    [
        DatasetExists("cities", "app.py:3", "app.py:9"),
        DatasetCycle("b", ("a", "b", "a")),
        DatasetLoadError("cities", ("cities",)),
        WarmError("look_up"),
        errors.DeclarationError("geocode", "rows", "no hint"),
        errors.TaskExists("geocode", "app.py:3", "app.py:9"),
        errors.ArgumentsInvalid("geocode", [{"type": "missing", "loc": ("rows",), "msg": "no"}]),
        errors.ResultInvalid("geocode", "not a list"),
        errors.QueueIsFull("default"),
        errors.StoreUnavailable("disk full"),
        errors.IdempotencyMismatch("order-17"),
        errors.NoWorker("geocode"),
        errors.Busy("geocode"),
        errors.JobNotFound("an-id"),
        errors.JobFailed("an-id", "ValueError", "no such place"),
        errors.ResultTimeout("an-id", 30.0),
        errors.JobCancelled("an-id"),
        errors.TimeLimitReached(30.0),
        errors.Retry(after=30),
        errors.Failed("no such country"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_pickle(error: OneCopyError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def load_error(module: Path) -> DatasetLoadError:
    """Load the dataset `cities` of a module written to a file."""
    spec = importlib.util.spec_from_file_location("users_module", module)
    assert spec is not None
    assert spec.loader is not None
    users_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(users_module)
    dataset = Dataset[object](users_module.cities, "cities")
    with pytest.raises(DatasetLoadError) as caught:
        dataset()
    return caught.value


def test_the_users_traceback_has_the_users_frames_only(tmp_path: Path) -> None:
    module = tmp_path / "users_module.py"
    module.write_text(
        "def parse(line):\n    return int(line)\n\ndef cities():\n    return parse('Bern')\n"
    )
    shown = load_error(module).user_traceback.splitlines()
    assert shown[0] == "Traceback (most recent call last):"
    assert f'  File "{module}", line 5, in cities' in shown
    assert f'  File "{module}", line 2, in parse' in shown
    assert sum(line.startswith("  File") for line in shown) == 2
    assert shown[-1] == "ValueError: invalid literal for int() with base 10: 'Bern'"


def test_the_event_loop_of_an_async_loader_is_not_shown(tmp_path: Path) -> None:
    module = tmp_path / "users_module.py"
    module.write_text("async def cities():\n    raise ValueError('bad row')\n")
    shown = load_error(module).user_traceback
    assert shown.count("  File") == 1
    assert f'  File "{module}", line 2, in cities' in shown


def test_the_standard_library_that_the_user_called_is_shown(tmp_path: Path) -> None:
    module = tmp_path / "users_module.py"
    module.write_text("import json\n\ndef cities():\n    return json.loads('{')\n")
    shown = load_error(module).user_traceback
    assert shown.index("in cities") < shown.index("in loads")


def test_the_exceptions_it_came_from_are_shown_without_our_frames(tmp_path: Path) -> None:
    module = tmp_path / "users_module.py"
    module.write_text(
        "def cities():\n"
        "    try:\n        open('/no/such/file')\n"
        "    except OSError as error:\n        raise ValueError('no cities') from error\n"
    )
    shown = load_error(module).user_traceback
    assert "FileNotFoundError" in shown
    assert "direct cause" in shown
    assert "ValueError: no cities" in shown
    assert "resident.py" not in shown


def test_an_error_at_import_shows_the_users_module_only(tmp_path: Path) -> None:
    module = tmp_path / "users_module.py"
    module.write_text("import no_such_module_at_all\n")
    spec = importlib.util.spec_from_file_location("users_module", module)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ModuleNotFoundError) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    # As the server catches it: the frames above the import system's are its own.
    shown = user_traceback(caught.value)
    assert "frozen importlib" not in shown
    assert f'File "{module}", line 1' in shown
