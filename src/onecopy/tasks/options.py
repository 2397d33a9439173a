"""What is declared of a task, and what is said of one sending of it; lenient in, frozen inside."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict, cast

from onecopy.errors import DeclarationError
from onecopy.execution import queues
from onecopy.execution.policy import RetryPolicy
from onecopy.tasks.ordering import KeyOf, wrong_with
from onecopy.webhooks.urls import read_url

type Seconds = float | timedelta
type Backoff = Seconds | Callable[[int], float]
type Bytes = int | str
"""A number of bytes, or a text such as "512 MB" (1000 * 1000) or "4 GiB" (1024 ** 3)."""

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MOST_PRIORITY: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """How the jobs of a task are run. All times are seconds.

    expires: from acceptance until a job that nobody began fails. keep: how long a final job is
    kept. max_memory: private bytes. max_queued: of its queue. concurrency: attempts at a time.
    callbacks: URLs that are told how a job ended. log_level: of the lines among a job's events;
    None: none of them. ordering_key: of each job, or a function of its arguments.
    """

    retries: int = 0
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float | None = None
    max_memory: int | None = None
    queue: str = "default"
    priority: int = 0
    expires: float | None = None
    keep: float = 86400.0
    max_queued: int | None = None
    concurrency: int | None = None
    callbacks: tuple[str, ...] = ()
    log_level: int | None = logging.INFO
    ordering_key: str | KeyOf | None = None


class DeclaredOptions(TypedDict, total=False):
    """What `@shared.task(...)` takes.

    retries: attempts after the first. backoff: seconds before the first retry, doubled for each
    later one, or a function of the attempt's number. retry_on: the exceptions worth a retry.
    timeout: seconds that an attempt may take. max_memory: private memory of an attempt. queue,
    priority: where jobs wait; higher priorities first. expires: seconds until a job that nobody
    began fails. keep: seconds that a final job is kept. max_queued: how many jobs may wait in the
    queue. concurrency: attempts at a time in one worker, for async tasks. callbacks: URLs that
    are told how each job ended. log_level: what the task logs at this level or above is among the
    events of its jobs; None: nothing is. ordering_key: is given arguments by name, and returns what
    jobs have in common that run one at a time, in the order of their acceptance; or None.
    """

    retries: int
    backoff: Backoff | None
    retry_on: type[BaseException] | Sequence[type[BaseException]]
    timeout: Seconds | None
    max_memory: Bytes | None
    queue: str
    priority: int
    expires: Seconds | None
    keep: Seconds
    max_queued: int | None
    concurrency: int | None
    callbacks: Sequence[str]
    log_level: int | str | None
    ordering_key: KeyOf | None


def declared(task: str, given: DeclaredOptions, *, is_async: bool = True) -> TaskOptions:
    """Return the options of a task. Raises DeclarationError."""
    check = _Check(task)
    if not is_async and given.get("concurrency") is not None:
        raise check.fault(
            "concurrency is of async tasks: sync ones run one at a time in a job worker. "
            "Leave it out, and start as many job workers as are to run at once."
        )
    retry_on = given.get("retry_on", (Exception,))
    timeout = given.get("timeout")
    expires = given.get("expires")
    memory = given.get("max_memory")
    return TaskOptions(
        retries=check.whole("retries", given.get("retries", 0), 0),
        policy=RetryPolicy(
            _backoff(check, given.get("backoff")),
            check.exceptions(retry_on),
        ),
        timeout=None if timeout is None else check.seconds("timeout", timeout),
        max_memory=None if memory is None else check.bytes("max_memory", memory),
        queue=check.queue(given.get("queue", "default")),
        priority=check.whole("priority", given.get("priority", 0), -_MOST_PRIORITY),
        expires=None if expires is None else check.seconds("expires", expires),
        keep=check.seconds("keep", given.get("keep", 86400.0), least=0.0),
        max_queued=check.optional("max_queued", given.get("max_queued")),
        concurrency=check.optional("concurrency", given.get("concurrency")),
        callbacks=check.texts("callbacks", given.get("callbacks", ())),
        log_level=check.level("log_level", given.get("log_level", logging.INFO)),
        ordering_key=check.key_of(given.get("ordering_key")),
    )


def _backoff(check: "_Check", given: Backoff | None) -> float | Callable[[int], float] | None:
    if given is None or callable(given):
        return given
    return check.seconds("backoff", given, least=0.0)


class SendingOptions(TypedDict, total=False):
    """What `task.options(...)` takes.

    delay: seconds until it is due. run_at: when it is due (with a time zone). idempotency_key: a
    second job of the task with the same key is not made: the first is returned. timeout: seconds
    that a call may take. callback_url: is told how the job ended, as `callbacks` are. ordering_key:
    jobs of one key in one queue run one at a time, in the order of their acceptance. The others as
    in `@shared.task(...)`. connection: of psycopg or SQLAlchemy to the store's own database: the
    job is there once its transaction is committed, and workers hear of it then.
    """

    delay: Seconds
    run_at: datetime
    idempotency_key: str
    priority: int
    queue: str
    expires: Seconds | None
    keep: Seconds
    timeout: Seconds | None
    traceparent: str
    callback_url: str
    ordering_key: str | None
    connection: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How one job is sent."""

    delay: float = 0.0
    run_at: datetime | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    callback_url: str | None = None
    connection: object = None

    def due_at(self, now: float) -> float:
        """Return when the job is due, in seconds since 1970."""
        return now + self.delay if self.run_at is None else self.run_at.timestamp()


def sent(
    task: str, options: TaskOptions, sending: Sending, given: SendingOptions
) -> tuple[TaskOptions, Sending]:
    """Return the options of a task with those of a sending in their place.

    Raises DeclarationError for what cannot be had, CallbackRefused for a URL that is none.
    """
    check = _Check(task)
    if "delay" in given and "run_at" in given:
        raise check.fault("delay and run_at both say when it is due: name one")
    for name in ("timeout", "expires", "keep"):
        if name in given:
            value: object = given.get(name)
            seconds = None if value is None else check.seconds(name, value, least=0.0)
            options = replace(options, **{name: seconds})
    if "queue" in given:
        options = replace(options, queue=check.queue(given["queue"]))
    if "priority" in given:
        priority = check.whole("priority", given["priority"], -_MOST_PRIORITY)
        options = replace(options, priority=priority)
    if "ordering_key" in given:
        options = replace(options, ordering_key=check.ordering_key(given["ordering_key"]))
    return options, _sending(check, sending, given)


def _sending(check: "_Check", sending: Sending, given: SendingOptions) -> Sending:
    if "delay" in given:
        delay = check.seconds("delay", given["delay"], least=0.0)
        sending = replace(sending, delay=delay, run_at=None)
    if "run_at" in given:
        if given["run_at"].tzinfo is None:
            raise check.fault(f"run_at has no time zone: {given['run_at'].replace(tzinfo=UTC)}?")
        sending = replace(sending, delay=0.0, run_at=given["run_at"])
    if "idempotency_key" in given:
        key = given["idempotency_key"]
        if not 0 < len(key) <= 255 or not key.isprintable():
            raise check.fault("idempotency_key is 1 to 255 printable characters")
        sending = replace(sending, idempotency_key=key)
    sending = replace(
        sending,
        traceparent=given.get("traceparent", sending.traceparent),
        connection=given.get("connection", sending.connection),
    )
    if "callback_url" in given:
        sending = replace(sending, callback_url=read_url(given["callback_url"]).url)
    return sending


class _Check:
    """Turns what was given into what is kept, or says why it cannot."""

    def __init__(self, task: str) -> None:
        self._task = task

    def fault(self, reason: str) -> DeclarationError:
        return DeclarationError(self._task, None, reason)

    def whole(self, name: str, value: object, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fault(f"{name}={value!r} is no whole number of at least {least}")
        if value > _MOST_PRIORITY:
            raise self.fault(f"{name}={value!r} is more than {_MOST_PRIORITY}")
        return value

    def optional(self, name: str, value: object) -> int | None:
        return None if value is None else self.whole(name, value, 1)

    def seconds(self, name: str, value: object, least: float | None = None) -> float:
        number = value.total_seconds() if isinstance(value, timedelta) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise self.fault(f"{name}={value!r} is no number of seconds and no timedelta")
        enough = number > 0 if least is None else number >= least
        if not enough or number > 1e10:
            raise self.fault(f"{name}={value!r} is not {'over' if least is None else 'at least'} 0")
        return float(number)

    def queue(self, value: object) -> str:
        if not isinstance(value, str) or not queues.NAME.fullmatch(value):
            raise self.fault(f"queue={value!r}: letters, digits, '_', '.', '-', at most 100")
        return value

    def level(self, name: str, value: object) -> int | None:
        if isinstance(value, str):
            value = logging.getLevelNamesMapping().get(value.upper(), value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            return value
        raise self.fault(f'{name}={value!r} is no level of logging: write "INFO" or None')

    def key_of(self, value: KeyOf | None) -> KeyOf | None:
        if value is not None and not callable(value):
            raise self.fault(f"ordering_key={value!r} is no function of the task's arguments")
        return value

    def ordering_key(self, value: str | None) -> str | None:
        reason = None if value is None else wrong_with(value)
        if reason is not None:
            raise self.fault(reason)
        return value

    def texts(self, name: str, value: object) -> tuple[str, ...]:
        texts = tuple(cast(Sequence[object], value)) if isinstance(value, Sequence) else ()
        if isinstance(value, str) or not all(isinstance(each, str) for each in texts):
            raise self.fault(f'{name}={value!r} is no list of texts: write {name}=["..."]')
        return cast(tuple[str, ...], texts)

    def bytes(self, name: str, value: object) -> int:
        if isinstance(value, str) and (size := _SIZE.fullmatch(value.strip())):
            base = 1024 if size[3] else 1000
            value = int(float(size[1]) * base ** _POWERS[size[2].lower()])
        if isinstance(value, str):
            raise self.fault(f'{name}={value!r} is no size: write "512 MB" or "4 GiB"')
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.fault(f"{name}={value!r} is no number of bytes over 0")
        return value

    def exceptions(self, value: object) -> tuple[type[BaseException], ...]:
        many = isinstance(value, Sequence)
        kinds = list(cast(Sequence[object], value)) if many else [value]
        found = tuple(k for k in kinds if isinstance(k, type) and issubclass(k, BaseException))
        if len(found) != len(kinds):
            raise self.fault(f"retry_on={value!r}: exception types are wanted")
        return found
