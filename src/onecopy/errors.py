"""Every error that onecopy raises.

    OneCopyError
    ├── DatasetError                    something about one dataset
    │   ├── DatasetDefinitionError      its loader cannot be used as one
    │   ├── DatasetExists               another dataset has its name
    │   ├── DatasetCycle                its loader needs, in the end, itself
    │   ├── DatasetNotHere              this process is of a web tier that holds no data
    │   └── DatasetLoadError      (*)   its loader raised
    ├── TaskError                       something about one task
    │   ├── DeclarationError            a function cannot be a task
    │   ├── TaskExists                  another task has its name
    │   ├── ArgumentsInvalid            arguments do not fit the task's hints
    │   └── ResultInvalid               a result does not fit the task's hint
    ├── NotAccepted                     a job was not accepted: nothing has happened
    │   ├── QueueIsFull                 its queue has as many jobs as it may
    │   ├── StoreUnavailable            the store cannot be reached or cannot write
    │   ├── IdempotencyMismatch         its key belongs to another request
    │   ├── TransactionUnusable         it cannot be part of the transaction that it was to be in
    │   ├── CallbackRefused             a URL that may not be called back
    │   ├── NoWorker                    no worker is there to take a call
    │   └── Busy                        every worker has as many calls as it may
    ├── JobError                        something about one job
    │   ├── JobNotFound                 there is none of this id
    │   ├── JobFailed                   its last attempt failed
    │   ├── ResultTimeout               it is not final yet
    │   └── JobInterrupted              it is to end, or was ended
    │       ├── JobCancelled            somebody cancelled it
    │       ├── LeaseLost               the store was away: another host runs it now
    │       └── TimeLimitReached        an attempt took longer than its time limit
    ├── AttemptEnded                    raised by a task itself, to end its attempt
    │   ├── Retry                       and try again
    │   ├── Elsewhere                   and have its outcome come from elsewhere
    │   └── Failed                      and not try again
    ├── ServiceError                    something about a service elsewhere, and its URL
    │   ├── ServiceUnreachable          it is away, and was for as long as one would wait
    │   └── RequestRefused              it has answered a request with a problem
    ├── WebhookError                    something about webhooks
    │   ├── WebhookRefused              one that was received cannot be trusted
    │   ├── WebhookKeyInvalid           a secret or a key that is none
    │   └── WebhooksNotInstalled        what they need is not installed
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta

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


class DatasetNotHere(DatasetError):
    """The process is of a web tier of its own (`onecopy web`), which loads no data."""

    def __str__(self) -> str:
        return (
            f"dataset {self.dataset!r} is not loaded here: `onecopy web` holds no data. Read it in "
            "a task and submit or call that, or serve with `onecopy run`."
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


class TaskError(OneCopyError):
    """Something is wrong with one task, or with what it was given.

    task: its name.
    """

    def __init__(self, task: str, *details: object) -> None:
        super().__init__(task, *details)
        self.task = task


class DeclarationError(TaskError, TypeError):
    """A function was declared as a task that cannot be one.

    parameter: the one at fault ("return" for the result); None if it is the function, or an option.
    reason: why not, and what to write instead.
    """

    def __init__(self, task: str, parameter: str | None, reason: str) -> None:
        super().__init__(task, parameter, reason)
        self.parameter = parameter
        self.reason = reason

    def __str__(self) -> str:
        if self.parameter is None:
            return f"{self.task!r} cannot be a task: {self.reason}"
        what = "its result" if self.parameter == "return" else f"parameter {self.parameter!r}"
        return f"{self.task!r} cannot be a task: {what}: {self.reason}"


class TaskExists(TaskError):
    """Two tasks of one `OneCopy` have the same name.

    first, second: where each function is written, as "file:line".
    """

    def __init__(self, task: str, first: str, second: str) -> None:
        super().__init__(task, first, second)
        self.first = first
        self.second = second

    def __str__(self) -> str:
        return (
            f"there are two tasks named {self.task!r}: {self.first} and {self.second}.\n"
            f'Rename one of the functions, or name it: @shared.task(name="...").'
        )


class ArgumentsInvalid(TaskError, ValueError):
    """Arguments do not fit the hints of a task's parameters.

    errors: one dict for each fault, as pydantic lists them: "type", "loc", "msg".
    """

    def __init__(self, task: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(task, errors)
        self.errors = errors

    def __str__(self) -> str:
        return f"the arguments do not fit task {self.task!r}: {_faults(self.errors)}"


class ResultInvalid(TaskError, ValueError):
    """A result does not fit the hint of a task's result, or cannot be written as JSON.

    reason: what does not fit.
    """

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the result of task {self.task!r} does not fit its hint: {self.reason}"


class NotAccepted(OneCopyError):
    """A job or a call was not accepted, and nothing of it has happened."""


class QueueIsFull(NotAccepted):
    """A queue has as many jobs as it may: try again later.

    queue: its name.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self.queue = queue

    def __str__(self) -> str:
        return f"queue {self.queue!r} is full: try again later, or add job workers"


class StoreUnavailable(NotAccepted):
    """The store cannot be reached, or cannot write now.

    reason: why, in the store's words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the store of jobs is not available: {self.reason}"


class IdempotencyMismatch(NotAccepted):
    """An idempotency key was used before, with another task or other arguments.

    key: the key.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the idempotency key {self.key!r} belongs to another request: take a new one"


class TransactionUnusable(NotAccepted, ValueError):
    """A job cannot be submitted in a transaction of the caller's own.

    reason: why not, and what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the job cannot be submitted with this connection: {self.reason}"


class CallbackRefused(NotAccepted, ValueError):
    """A URL may not be called back, as it is written or by where it leads.

    url: as it was given. reason: why not.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        # What follows on the path may be a secret, and so may be what stands before the host.
        shown = self.url.partition("?")[0].partition("#")[0].rpartition("@")[2][:200]
        return f"the callback URL {shown!r} is refused: {self.reason}"


class NoWorker(NotAccepted):
    """No job worker is there that takes calls of a task.

    task: its name.
    """

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task

    def __str__(self) -> str:
        return f"no job worker takes calls of task {self.task!r}: start one, or submit a job"


class Busy(NotAccepted):
    """Every job worker has as many calls waiting as it may.

    task: its name.
    """

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task

    def __str__(self) -> str:
        return f"all job workers are busy: call task {self.task!r} later, or submit a job"


class JobError(OneCopyError):
    """Something about one job.

    job: its id; empty for a call, which is none.
    """

    def __init__(self, job: str = "", *details: object) -> None:
        super().__init__(job, *details)
        self.job = job


class JobNotFound(JobError, LookupError):
    """There is no job of this id: there never was, or it was final and has been deleted."""

    def __str__(self) -> str:
        return f"there is no job {self.job!r}"


class JobFailed(JobError):
    """The last attempt of a job, or a call, failed.

    type: the exception's qualified name, or a word of ours. message: what it said.
    """

    def __init__(self, job: str, type: str, message: str) -> None:  # noqa: A002  the wire's word
        super().__init__(job, type, message)
        self.type = type
        self.message = message

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class ResultTimeout(JobError, TimeoutError):
    """A job, or a call, was not final after as many seconds as its caller would wait.

    It goes on: ask again. seconds: how long was waited.
    """

    def __init__(self, job: str, seconds: float) -> None:
        super().__init__(job, seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{f'job {self.job!r}' if self.job else 'the call'} took over {self.seconds:g} s"


class JobInterrupted(JobError):
    """A job is to end, or was ended, by somebody else than its task."""


class JobCancelled(JobInterrupted):
    """A job was cancelled; a sync task sees it raised where it runs."""

    def __str__(self) -> str:
        return f"job {self.job!r} was cancelled" if self.job else "the job was cancelled"


class TimeLimitReached(JobInterrupted):
    """An attempt took longer than the task's `timeout`; raised in the task, where it runs.

    seconds: the limit.
    """

    def __init__(self, seconds: float, job: str = "") -> None:
        JobInterrupted.__init__(self, job)
        self.args = (seconds, job)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the attempt took longer than its limit of {self.seconds:g} s"


class LeaseLost(JobInterrupted):
    """The store could not be reached for too long: another host is about to run the job."""

    def __str__(self) -> str:
        return "the store could not be reached before the attempt's lease was over"


class AttemptEnded(OneCopyError):
    """Raised by a task to end its attempt."""


class Retry(AttemptEnded):
    """Raised by a task: try again later, if attempts are left.

    after: seconds until the next attempt, or a timedelta.
    """

    def __init__(self, after: "float | timedelta" = 0.0) -> None:
        # A duck, because most who import this module have no use for datetime.
        seconds = float(after) if isinstance(after, (int, float)) else after.total_seconds()
        super().__init__(seconds)
        self.after = max(0.0, seconds)

    def __str__(self) -> str:
        return f"the task asked to be tried again after {self.after:g} s"


class Elsewhere(AttemptEnded):
    """Raised by a task: the work goes on elsewhere, and its outcome will be reported from there.

    Whoever has the attempt's token (`JobContext.token`) may report it, by
    `POST /jobs/{id}/outcome`. The place in the worker is free meanwhile.

    timeout: seconds after which the job fails if no outcome has come, or a timedelta.
    """

    def __init__(self, timeout: "float | timedelta" = 86400.0) -> None:
        seconds = timeout if isinstance(timeout, (int, float)) else timeout.total_seconds()
        super().__init__(float(seconds))
        self.timeout = max(0.0, float(seconds))

    def __str__(self) -> str:
        return f"the outcome is to come from elsewhere within {self.timeout:g} s"


class Failed(AttemptEnded):
    """Raised by a task: the job has failed, and another attempt would be of no use.

    why: for whoever asks for the result.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class ServiceError(OneCopyError):
    """Something about a onecopy service that this program is no part of.

    url: what was asked.
    """

    def __init__(self, url: str, *details: object) -> None:
        super().__init__(url, *details)
        self.url = url


class ServiceUnreachable(ServiceError, ConnectionError):
    """A service was away for as long as its client would wait.

    reason: what came of the last try.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.url} cannot be reached: {self.reason}"


class RequestRefused(ServiceError):
    """A service has answered a request with a problem (RFC 9457), or with what nobody expected.

    status: of the answer. problem: its members. type, title, detail: of those, in words.
    errors: which arguments do not fit, each with `detail` and `pointer` (a JSON Pointer).
    """

    def __init__(self, url: str, status: int, problem: "dict[str, Any]") -> None:
        super().__init__(url, status, problem)
        self.status = status
        self.problem = problem
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.errors: list[dict[str, str]] = list(problem.get("errors") or [])

    def __str__(self) -> str:
        said = ": ".join(filter(None, (self.title, self.detail))) or "an answer nobody expected"
        faults = "".join(f"\n  {each.get('pointer')}: {each.get('detail')}" for each in self.errors)
        return f"{self.url} answers {self.status}: {said}{faults}"


class WebhookError(OneCopyError):
    """Something is wrong with a webhook, or with what signs it.

    reason: what.
    """

    def __init__(self, *details: str) -> None:
        super().__init__(*details)
        self.reason = details[-1]


class WebhookRefused(WebhookError):
    """A webhook was received that cannot be trusted: do not act on it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the webhook cannot be trusted: {self.reason}"


class WebhookKeyInvalid(WebhookError, ValueError):
    """A secret or a key of webhooks is none.

    prefix: what it should begin with. The key itself is not said.
    """

    def __init__(self, prefix: str, reason: str) -> None:
        super().__init__(prefix, reason)
        self.prefix = prefix

    def __str__(self) -> str:
        return f"what is given as {self.prefix}... is no key of webhooks: {self.reason}"


class WebhooksNotInstalled(WebhookError, ImportError):
    """A package that webhooks need is not installed.

    package: its name.
    """

    def __init__(self, package: str) -> None:
        WebhookError.__init__(self, package)
        self.package = package

    def __str__(self) -> str:
        return f"webhooks need {self.package}: pip install 'onecopy[webhooks]'"


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


def _faults(errors: list[dict[str, Any]]) -> str:
    """The first faults of a validation, in a line."""
    shown = [
        f"{'.'.join(str(step) for step in fault['loc']) or 'the object'}: {fault['msg']}"
        for fault in errors[:3]
    ]
    more = len(errors) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


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
