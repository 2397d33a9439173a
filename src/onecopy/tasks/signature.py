"""A task's parameters and result, to JSON and back, by its hints.

Parameters of the types `Progress` and `JobContext` are injected where the task runs; all others
travel as one JSON object, by name. Each end validates with the hints (pydantic).
"""

import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from onecopy.errors import ArgumentsInvalid, DeclarationError, ResultInvalid
from onecopy.tasks.context import JobContext
from onecopy.tasks.fields import CANNOT_TRAVEL, UNWRITABLE, Fields
from onecopy.tasks.progress import Progress

type Injected = type[Progress] | type[JobContext]

_INJECTED: Final[tuple[Injected, ...]] = (Progress, JobContext)
_MOST_ERRORS: Final = 100
_KIND = inspect.Parameter


class Signature:
    """What a task takes and returns."""

    def __init__(
        self, function: Callable[..., object], task: str, *, unhinted: object = None
    ) -> None:
        """Read the hints of a function. Raises DeclarationError where one cannot travel.

        unhinted: the hint of parameters that have none; None: they must have one.
        """
        self._task = task
        self._parameters = _parameters(function, task)
        hints = _hints(function, task)
        if unhinted is not None:
            hints = {**dict.fromkeys(self._parameters, unhinted), **hints}
        self.injected: dict[str, Injected] = {}
        """The injected parameters and their types."""
        fields: dict[str, object] = {}
        for name, parameter in self._parameters.items():
            injected = _injected(hints.get(name))
            if injected is not None:
                self.injected[name] = injected
            else:
                fields[name] = _hint(parameter, hints, task)
        self.optional = frozenset(
            name for name in fields if self._parameters[name].default is not _KIND.empty
        )
        self._whole = inspect.Signature(list(self._parameters.values()))
        self._sendable = inspect.Signature([self._parameters[name] for name in fields])
        self._arguments = self._adapter(fields, task)
        result = hints.get("return", Any)
        self._result = _one(task, "return", type(None) if result is None else result)

    def encode(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """Return arguments as a JSON object by name.

        Raises TypeError as a call would if they do not fit the parameters, and ArgumentsInvalid.
        """
        given = self._bind(args, kwargs)
        try:
            return self._arguments.write(self._arguments.check(given))
        except ValidationError as error:
            raise ArgumentsInvalid(self._task, _errors(error)) from None
        except UNWRITABLE as error:
            raise ArgumentsInvalid(self._task, _unwritable(error)) from None

    def normalise(self, text: str | bytes) -> str:
        """Return a JSON object of arguments as `encode` would have written it.

        Raises ArgumentsInvalid; the type of its only error is "json_invalid" for what is no JSON.
        """
        try:
            return self._arguments.write(self._arguments.read(text))
        except ValidationError as error:
            raise ArgumentsInvalid(self._task, _errors(error)) from None
        except UNWRITABLE as error:
            raise ArgumentsInvalid(self._task, _unwritable(error)) from None

    def decode(
        self, text: str | bytes, injected: Mapping[Injected, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return positional and keyword arguments to call the function with.

        injected: what to pass to injected parameters, by type. Raises ArgumentsInvalid.
        """
        try:
            given = self._arguments.read(text)
        except ValidationError as error:
            raise ArgumentsInvalid(self._task, _errors(error)) from None
        values = {**given, **{name: injected[kind] for name, kind in self.injected.items()}}
        bound = self._whole.bind_partial()
        bound.arguments = {name: values[name] for name in self._parameters if name in values}
        bound.apply_defaults()
        return bound.args, bound.kwargs

    @property
    def sent(self) -> Collection[str]:
        """The parameters that travel."""
        return self._sendable.parameters.keys()

    def named(self, text: str | bytes) -> Mapping[str, object]:
        """Return arguments by name, with the defaults of those that were left out."""
        bound = self._sendable.bind_partial()
        bound.arguments = self._arguments.read(text)
        bound.apply_defaults()
        return bound.arguments

    def encode_result(self, value: object) -> str:
        """Return a result as JSON. Raises ResultInvalid."""
        try:
            text = self._result.write(self._result.check({"return": value}))
        except ValidationError as error:
            raise ResultInvalid(self._task, _first(error)) from None
        except UNWRITABLE as error:
            raise ResultInvalid(self._task, str(error)) from None
        return text[len('{"return":') : -1]

    def decode_result(self, text: str) -> object:
        """Return a result of which this is the JSON. Raises ResultInvalid."""
        try:
            return self._result.read(f'{{"return":{text}}}')["return"]
        except ValidationError as error:
            raise ResultInvalid(self._task, _first(error)) from None

    def arguments_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the arguments, with the defaults that can be written."""
        schema = self._arguments.schema("validation")
        properties = cast(dict[str, dict[str, Any]], schema.get("properties", {}))
        for name in self.optional & properties.keys():
            default = self._parameters[name].default
            if default is None or isinstance(default, bool | int | float | str):
                properties[name]["default"] = default
        return schema

    def result_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the result."""
        schema = self._result.schema("serialization")
        of_result = cast(dict[str, Any], schema["properties"]["return"])
        of_result.pop("title", None)
        return of_result | ({"$defs": schema["$defs"]} if "$defs" in schema else {})

    def _bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Names to values, of what was passed."""
        return self._sendable.bind(*args, **kwargs).arguments

    def _adapter(self, fields: dict[str, object], task: str) -> Fields:
        try:
            return Fields(fields, self.optional)
        except CANNOT_TRAVEL as error:
            for name, hint in fields.items():
                _one(task, name, hint)
            # Each can travel alone: they contradict one another.
            raise DeclarationError(task, None, _words(error)) from None


def _one(task: str, parameter: str, hint: object) -> Fields:
    try:
        return Fields({parameter: hint}, frozenset())
    except CANNOT_TRAVEL as error:
        reason = f"{_shown(hint)} cannot travel as JSON: {_words(error)}"
        raise DeclarationError(task, parameter, f"{reason} {_cure(hint)}") from None


def _parameters(function: Callable[..., object], task: str) -> dict[str, inspect.Parameter]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(task, None, "it is a generator. Return a list.")
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise DeclarationError(task, None, f"its parameters cannot be read ({error}).") from None
    for name, parameter in parameters.items():
        if parameter.kind in (_KIND.VAR_POSITIONAL, _KIND.VAR_KEYWORD):
            kind = "list" if parameter.kind is _KIND.VAR_POSITIONAL else "dict[str, ...]"
            raise DeclarationError(
                task, name, f"arguments travel by name: take a {kind} without the asterisk."
            )
    return parameters


def _hints(function: Callable[..., object], task: str) -> dict[str, Any]:
    called = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(inspect.unwrap(called), include_extras=True)
    except NameError as error:
        raise DeclarationError(
            task, None, f"a hint cannot be looked up ({error}). Define its type in the module."
        ) from None


def _hint(parameter: inspect.Parameter, hints: Mapping[str, object], task: str) -> object:
    if parameter.name not in hints:
        raise DeclarationError(
            task,
            parameter.name,
            "it has no hint, and its hint says how it travels. Write one (`Any`: as JSON has it).",
        )
    return hints[parameter.name]


def _injected(hint: object) -> Injected | None:
    """The type to inject for a hint such as `Progress` or `Progress | None`."""
    union = get_origin(hint) in (Union, types.UnionType)
    kinds = get_args(hint) if union else (hint,)
    return next((kind for kind in _INJECTED if kind in kinds), None)


def _errors(error: ValidationError) -> list[dict[str, Any]]:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return [dict(fault) for fault in faults[:_MOST_ERRORS]]


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(step) for step in fault["loc"][1:])
    return f"{where}: {fault['msg']}" if where else fault["msg"]


def _unwritable(error: Exception) -> list[dict[str, Any]]:
    return [{"type": "unwritable", "loc": (), "msg": str(error)}]


def _words(error: Exception) -> str:
    """The first sentence of what pydantic says."""
    first = str(error).partition("\n")[0].partition(". ")[0]
    return first.rstrip(".") + "."


def _shown(hint: object) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


def _cure(hint: object) -> str:
    text = _shown(hint)
    if "Iter" in text or "Generator" in text:
        return "Write list[...] or Sequence[...]."
    if "Callable" in text:
        return "Send a name, and look the function up in the task."
    if "DataFrame" in text or "ndarray" in text:
        return "Send its rows (list[...]), or the name of a dataset, or a path."
    return "Use a dataclass, a pydantic model, or one of Python's own types."
