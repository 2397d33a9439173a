"""From what became of an attempt to the change that records it."""

import math
from dataclasses import dataclass
from typing import Final, cast

from onecopy import errors
from onecopy.errors import (
    Failed,
    JobCancelled,
    LeaseLost,
    OneCopyError,
    Retry,
    user_traceback,
)
from onecopy.execution.policy import RetryPolicy
from onecopy.jobs import Cancelled, Change, Elsewhere, Fail, Failure, Job, Progress, Succeed

LARGEST_RESULT = 64 * 1024 * 1024
"""Bytes of a result's JSON; more belongs into a file or a dataset."""

_LONGEST_TEXT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with the JSON of a result, or with an exception.

    interrupted: the exception is the one that the worker raised in it. (A task may let one pass
    that is of another job, which it waited for.)
    """

    result: str | None = None
    error: BaseException | None = None
    interrupted: bool = False


def settle(job: Job, outcome: Outcome, policy: RetryPolicy, now: float) -> Change:
    """Return the change that ends the running attempt of a job."""
    assert job.lease is not None, "only an attempt under a lease can end"
    token = job.lease.token
    error = outcome.error
    if error is None:
        return _succeed(token, outcome.result or "null")
    if outcome.interrupted and isinstance(error, JobCancelled):
        return Cancelled(token)
    if outcome.interrupted and isinstance(error, LeaseLost):
        return Fail(token, describe(error), now + policy.delay(job.attempt))
    if isinstance(error, Retry):
        return Fail(token, describe(error.__cause__ or error), now + error.after)
    if isinstance(error, errors.Elsewhere):
        return Elsewhere(token, now + error.timeout)
    if isinstance(error, Failed) or not policy.wants(error):
        return Fail(token, describe(error))
    return Fail(token, describe(error), now + policy.delay(job.attempt))


def tried_again(job: Job, outcome: Outcome, policy: RetryPolicy) -> bool:
    """Whether another attempt follows on one that has ended by an error, as `settle` has it."""
    error = outcome.error
    if error is None or job.attempt >= job.max_attempts or isinstance(error, Failed):
        return False
    return isinstance(error, Retry) or policy.wants(error)


def _succeed(token: str, result: str) -> Change:
    size = len(result)
    if size <= LARGEST_RESULT:
        return Succeed(token, result)
    message = f"its result is {size:,} characters of JSON; at most {LARGEST_RESULT:,} are kept"
    return Fail(token, Failure("ResultTooLarge", message))


def describe(error: BaseException) -> Failure:
    """Put an exception of the user's into words, whatever it does when it is asked for them."""
    kind = type(error)
    short = kind.__module__ in ("builtins", "__main__") or issubclass(kind, OneCopyError)
    name = kind.__qualname__ if short else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except BaseException as second:
        message = f"(its message cannot be had: {type(second).__name__})"
    try:
        trace = user_traceback(error)
    except BaseException:
        trace = None
    return Failure(
        storable(name), storable(message[:10_000]), None if trace is None else storable(trace)
    )


def sound(progress: Progress) -> Progress | None:
    """Return progress as it can be stored and sent; None if it makes no sense.

    It is whatever a task has passed, and bounded only by hints.
    """
    try:
        done = _number(progress.done)
        total = None if progress.total is None else _number(progress.total)
        message = progress.message
        return Progress(done, total, None if message is None else storable(str(message)[:1000]))
    except Exception:
        return None


def _number(value: object) -> float:
    number = value if type(value) in (int, float) else float(str(value))
    if not math.isfinite(cast(float, number)):
        raise ValueError
    return cast(float, number)


def storable(text: str) -> str:
    """Return a text without what no database takes: half characters, and more than is read."""
    if len(text) > _LONGEST_TEXT:
        half = _LONGEST_TEXT // 2
        text = f"{text[:half]}\n...\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
