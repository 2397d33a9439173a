"""Whether a message that names a task of ours has what Celery takes for granted.

Of one that has not, Celery's main process raises what ends the worker. It is not acknowledged by
then, so it would end the next worker too, and the one after that.
"""

from typing import Any, cast

from celery.exceptions import InvalidTaskError


def must_be_whole(message: Any) -> None:  # noqa: ANN401  Celery's
    """Raise InvalidTaskError if it is not: Celery says so then, and passes the message over."""
    headers: dict[str, Any] = message.headers
    if not isinstance(headers.get("id"), str):
        raise InvalidTaskError("its id is no text")
    if not _is_list(headers.get("timelimit") or [None, None], 2):
        raise InvalidTaskError("its timelimit is no pair")
    if not _is_list(headers.get("stamped_headers") or []):
        raise InvalidTaskError("its stamped_headers are no list")
    if not _is_list(message.payload, 3):
        raise InvalidTaskError("its body is no list of args, kwargs and what to do besides")


def _is_list(value: object, length: int | None = None) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return length in (None, len(cast("list[object]", value)))
