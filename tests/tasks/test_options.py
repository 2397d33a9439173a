"""What may be declared of a task, and what is refused, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onecopy import OneCopy
from onecopy.errors import DeclarationError
from onecopy.tasks.options import declared


def test_everything_has_a_default() -> None:
    options = declared("work", {})
    assert (options.retries, options.timeout, options.max_memory) == (0, None, None)
    assert (options.queue, options.priority, options.keep) == ("default", 0, 86400.0)
    assert (options.expires, options.max_queued, options.concurrency) == (None, None, None)
    assert options.policy.wants(ValueError())


def test_times_are_seconds_or_timedeltas() -> None:
    options = declared(
        "work", {"timeout": timedelta(minutes=2), "expires": 3, "keep": 0, "backoff": 0.5}
    )
    assert (options.timeout, options.expires, options.keep) == (120.0, 3.0, 0.0)
    assert 0.25 <= options.policy.delay(1) <= 0.5


@pytest.mark.parametrize(
    ("size", "number"),
    [
        (4096, 4096),
        ("512 MB", 512_000_000),
        ("4GiB", 4 * 1024**3),
        ("1.5 g", 1_500_000_000),
        ("100", 100),
        ("2 kib", 2048),
    ],
)
def test_sizes_are_numbers_or_texts(size: int | str, number: int) -> None:
    assert declared("work", {"max_memory": size}).max_memory == number


def test_retries_may_be_of_some_exceptions_only() -> None:
    policy = declared("work", {"retry_on": OSError, "backoff": lambda attempt: 7 * attempt}).policy
    assert policy.wants(ConnectionError())
    assert not policy.wants(ValueError())
    assert policy.delay(3) == 21
    assert declared("work", {"retry_on": [OSError, KeyError]}).policy.wants(KeyError())
    assert not declared("work", {"retry_on": ()}).policy.wants(OSError())


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"expires": -1},
        {"keep": -1},
        {"backoff": -1},
        {"backoff": "5"},
        {"queue": ""},
        {"queue": "a b"},
        {"queue": "a/b"},
        {"queue": 3},
        {"priority": "high"},
        {"priority": 2**40},
        {"max_memory": "much"},
        {"max_memory": 0},
        {"max_memory": -5},
        {"retry_on": "OSError"},
        {"retry_on": [OSError, 3]},
        {"max_queued": 0},
        {"concurrency": 0},
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused(wrong: Any) -> None:  # noqa: ANN401
    with pytest.raises(DeclarationError, match=f"'work' cannot be a task: .*{next(iter(wrong))}"):
        declared("work", wrong)


def test_concurrency_is_of_async_tasks() -> None:
    shared = OneCopy()

    @shared.task(concurrency=3)
    async def fetch() -> None: ...

    assert fetch.declared.concurrency == 3
    with pytest.raises(DeclarationError, match="one at a time in a job worker"):

        @shared.task(concurrency=3)
        def compute() -> None: ...


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay": -1},
        {"run_at": datetime(2030, 1, 1)},  # noqa: DTZ001  that is what is wrong
        {"delay": 1, "run_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 256},
        {"idempotency_key": "a\nb"},
        {"queue": "a b"},
        {"priority": 1.5},
        {"expires": "x"},
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused(wrong: Any) -> None:  # noqa: ANN401
    with pytest.raises(DeclarationError, match=next(iter(wrong))):
        OneCopy().task(lambda: 1).options(**wrong)
