"""Every error that onecopy raises.

    OneCopyError
    ├── DatasetError                    something about one dataset
    │   ├── DatasetDefinitionError      its loader cannot be used as one
    │   ├── DatasetExists               another dataset has its name
    │   ├── DatasetCycle                its loader needs, in the end, itself
    │   └── DatasetLoadError      (*)   its loader raised
    ├── WarmError                 (*)   a function marked with `warm` raised
    └── StartError                      the service cannot start
        ├── OptionError                 an option that cannot be had
        ├── BindError                   an address that cannot be listened on
        ├── StateFolderError            the state folder cannot be used
        ├── AppNotFound                 no such module or attribute, or no app
        ├── AppImportError        (*)   the app's module raised while it was imported
        ├── LifespanFailed              the lifespan's start-up failed
        └── NotInheritable              the lifespan left open what no worker can inherit

(*) Also a UserCodeError: the fault is in code of the user's own, the exception raised there is the
`__cause__`, and `user_traceback` is its traceback without a frame of ours.

A message says the cause and the cure in one or two lines. What it is made of can be read as
attributes. Every error can be pickled.
"""

import os
import sysconfig
import traceback
from collections.abc import Iterator

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STDLIB = sysconfig.get_path("stdlib") + os.sep


class OneCopyError(Exception):
    """The root of the tree: catch this to catch all of it."""


class UserCodeError(OneCopyError):
    """Code of the user's own raised; the exception is the `__cause__`."""

    @property
    def user_traceback(self) -> str:
        """The traceback of the cause, as Python prints it, without a frame of ours."""
        return user_traceback(self.__cause__) if self.__cause__ is not None else ""


class DatasetError(OneCopyError):
    """Something is wrong with one dataset.

    dataset: its name.
    """

    def __init__(self, dataset: str, *details: object) -> None:
        super().__init__(dataset, *details)
        self.dataset = dataset


class DatasetDefinitionError(DatasetError, TypeError):
    """A function was registered as a dataset that cannot be a loader.

    reason: why not, and what to write instead.
    """

    def __init__(self, dataset: str, reason: str) -> None:
        super().__init__(dataset, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.dataset!r} cannot be a dataset: {self.reason}"


class DatasetExists(DatasetError):
    """Two datasets of one process have the same name.

    first, second: where each loader is written, as "file:line".
    """

    def __init__(self, dataset: str, first: str, second: str) -> None:
        super().__init__(dataset, first, second)
        self.first = first
        self.second = second

    def __str__(self) -> str:
        return (
            f"there are two datasets named {self.dataset!r}: {self.first} and {self.second}.\n"
            f'Rename one of the functions, or name it: @shared.dataset(name="...").'
        )


class DatasetCycle(DatasetError):
    """Datasets need one another in a circle, so none of them can be loaded first.

    path: the names along the circle; the last is the first again.
    """

    def __init__(self, dataset: str, path: tuple[str, ...]) -> None:
        super().__init__(dataset, path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"datasets need one another in a circle: {' -> '.join(self.path)}.\n"
            f"Move what both need into a dataset of its own."
        )


class DatasetLoadError(DatasetError, UserCodeError):
    """The loader of a dataset raised; the next use of the dataset runs it again.

    path: the names of the datasets that were being loaded, the outermost first; the last is the
    one whose loader raised.
    """

    def __init__(self, dataset: str, path: tuple[str, ...]) -> None:
        super().__init__(dataset, path)
        self.path = path

    def __str__(self) -> str:
        needed = f" (needed along {' -> '.join(self.path)})" if len(self.path) > 1 else ""
        return f"dataset {self.dataset!r} could not be loaded{needed}: {_in_a_line(self)}"


class WarmError(UserCodeError):
    """A function marked with `warm` raised.

    warmer: its name.
    """

    def __init__(self, warmer: str) -> None:
        super().__init__(warmer)
        self.warmer = warmer

    def __str__(self) -> str:
        return f"the warm function {self.warmer!r} failed: {_in_a_line(self)}"


class StartError(OneCopyError):
    """The service cannot start, and nothing of it runs."""


class OptionError(StartError):
    """An option has a value that cannot be had, or does not go with another.

    option: its name, as typed.
    """

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(option, reason)
        self.option = option
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.option}: {self.reason}"


class BindError(StartError):
    """An address cannot be listened on.

    address: `host:port`, or the path of a socket.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot listen on {self.address}: {self.reason}"


class StateFolderError(StartError):
    """The folder for what a run must keep on disk cannot be used.

    folder: its path.
    """

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"cannot use the state folder {self.folder}: {self.reason}. "
            "Name another one with ONECOPY_STATE_DIR."
        )


class AppNotFound(StartError):
    """There is no app of this name.

    app: the import string.
    """

    def __init__(self, app: str, reason: str) -> None:
        super().__init__(app, reason)
        self.app = app
        self.reason = reason

    def __str__(self) -> str:
        return f"no app {self.app!r}: {self.reason}"


class AppImportError(StartError, UserCodeError):
    """The app's module raised while it was imported.

    app: the import string.
    """

    def __init__(self, app: str) -> None:
        super().__init__(app)
        self.app = app

    def __str__(self) -> str:
        return f"{self.app} cannot be imported: {_in_a_line(self)}"


class LifespanFailed(StartError):
    """The lifespan's start-up failed in the image; uvicorn has logged why."""

    def __str__(self) -> str:
        return "the lifespan's start-up failed in the image (--lifespan image), see above"


class NotInheritable(StartError):
    """The lifespan left something open that a forked worker cannot use.

    left: what, each by its name.
    """

    def __init__(self, left: list[str]) -> None:
        super().__init__(left)
        self.left = left

    def __str__(self) -> str:
        return (
            f"--lifespan image: start-up left open what a worker cannot inherit: "
            f"{', '.join(self.left)}. Open these in each worker (--lifespan auto), and load the "
            "data at import or in an @shared.dataset."
        )


def _in_a_line(error: BaseException) -> str:
    """The cause of an error as the last line of a traceback would say it."""
    if error.__cause__ is None:
        return "its cause was not recorded"
    return traceback.format_exception_only(error.__cause__)[-1].strip()


def user_traceback(error: BaseException) -> str:
    """Format an exception, and those it came from, without the frames of onecopy.

    The machinery that stood between us and the user's code (the import system, the event loop) is
    left out as well; what the user's code called itself stays.
    """
    report = traceback.TracebackException.from_exception(error)
    for part in _chained(report):
        part.stack = traceback.StackSummary.from_list(_users_frames(part.stack))
    return "".join(report.format())


def _chained(report: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """The report itself and every report that printing it would print."""
    yield report
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if other is not None:
            yield from _chained(other)


def _users_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    frames = [frame for frame in stack if not _is_machinery(frame.filename)]
    while frames and _is_stdlib(frames[0].filename):
        del frames[0]
    return frames


def _is_machinery(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib"))


def _is_stdlib(filename: str) -> bool:
    return filename.startswith(_STDLIB) and "site-packages" not in filename
