"""The ordering key of a job: said with a sending, or by a function of the task's, of arguments."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from onecopy.errors import ArgumentsInvalid, DeclarationError
from onecopy.tasks.signature import Signature

type KeyOf = Callable[..., str | None]
"""Takes arguments of the task by name, those that it has parameters for."""

_MOST: Final = 256
_KIND = inspect.Parameter
_ANY: Final = (_KIND.VAR_POSITIONAL, _KIND.VAR_KEYWORD)


def wrong_with(key: object) -> str | None:
    """Return why something cannot be an ordering key; None if it can."""
    if isinstance(key, str) and 0 < len(key) <= _MOST and key.isprintable():
        return None
    return f"ordering_key is 1 to {_MOST} printable characters, not {key!r:.80}"


def must_be_callable(task: str, function: KeyOf, signature: Signature) -> None:
    """See that a function can be given arguments of the task. Raises DeclarationError."""
    for name, parameter in inspect.signature(function).parameters.items():
        optional = parameter.default is not _KIND.empty or parameter.kind in _ANY
        if not optional and (parameter.kind == _KIND.POSITIONAL_ONLY or name not in signature.sent):
            reason = f"ordering_key is given arguments by name, and there is no {name!r}"
            raise DeclarationError(task, None, reason)


def key_of(task: str, given: str | KeyOf | None, signature: Signature, text: str) -> str | None:
    """Return the ordering key of a job with these arguments. Raises ArgumentsInvalid."""
    if not callable(given):
        return given
    try:
        key = given(**_wanted(given, signature.named(text)))
    except Exception as error:
        raise _fault(task, f"ordering_key has raised {type(error).__name__}: {error}") from error
    reason = None if key is None else wrong_with(key)
    if reason is not None:
        raise _fault(task, reason)
    return key


def _fault(task: str, reason: str) -> ArgumentsInvalid:
    return ArgumentsInvalid(task, [{"type": "ordering_key", "loc": (), "msg": reason}])


def _wanted(function: KeyOf, values: Mapping[str, object]) -> Mapping[str, object]:
    names = _names(function)
    return values if names is None else {name: values[name] for name in names if name in values}


@cache
def _names(function: KeyOf) -> tuple[str, ...] | None:
    """Return the parameters of a function; None if it takes all there are."""
    parameters = inspect.signature(function).parameters
    if any(each.kind == _KIND.VAR_KEYWORD for each in parameters.values()):
        return None
    return tuple(name for name, each in parameters.items() if each.kind not in _ANY)
