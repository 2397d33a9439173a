"""What OpenAPI says of the routes of jobs and of the endpoints of tasks."""

import inspect
import json
import re
from collections.abc import Callable
from typing import Any, Final, cast

from fastapi import FastAPI

from onecopy.http.problems import MEDIA_TYPE, Kind
from onecopy.http.webhook_openapi import CALLBACK_URL, KEY, describe_callback
from onecopy.tasks import Task, Tasks

_MARK: Final = re.compile(r"\s*<!-- onecopy task: (.*) -->\s*$")

type Described = dict[str, Any]
type Responses = dict[int | str, Described]

JOB: Final[Described] = {
    "id": "h1bDvKzXqQmW2yT5sLrNcEuG",
    "task": "geocode",
    "status": "running",
    "attempt": 1,
    "max_attempts": 4,
    "created_at": "2026-11-23T19:49:26.120Z",
    "started_at": "2026-11-23T19:49:26.121Z",
    "finished_at": None,
    "progress": {"done": 1200, "total": 5000, "message": None},
    "error": None,
    "links": {
        "self": "/jobs/h1bDvKzXqQmW2yT5sLrNcEuG",
        "result": "/jobs/h1bDvKzXqQmW2yT5sLrNcEuG/result",
        "events": "/jobs/h1bDvKzXqQmW2yT5sLrNcEuG/events",
    },
}
"""A job as an example."""

_DONE: Final[Described] = {
    **JOB,
    "status": "succeeded",
    "finished_at": "2026-11-23T19:49:31.904Z",
    "progress": {"done": 5000, "total": 5000, "message": None},
    "result": ["Bern", None],
}
_CANCELLED: Final[Described] = {
    **JOB,
    "status": "cancelled",
    "finished_at": "2026-11-23T19:49:27.300Z",
}
_TIME: Final[Described] = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Final[Described] = {"type": ["string", "null"], "format": "date-time"}


def _object(properties: Described, required: list[str] | None = None) -> Described:
    return {"type": "object", "properties": properties, "required": required or [*properties]}


_ERROR: Final = _object({"type": {"type": "string"}, "message": {"type": "string"}})
_PROGRESS: Final = _object(
    {
        "done": {"type": "number"},
        "total": {"type": ["number", "null"]},
        "message": {"type": ["string", "null"]},
    },
    ["done"],
)
_JOB_SCHEMA: Final = _object(
    {
        "id": {"type": "string"},
        "task": {"type": "string"},
        "status": {"enum": ["queued", "running", "succeeded", "failed", "cancelled"]},
        "attempt": {"type": "integer", "minimum": 0},
        "max_attempts": {"type": "integer", "minimum": 1},
        "created_at": _TIME,
        "started_at": _TIME_OR_NULL,
        "finished_at": _TIME_OR_NULL,
        "progress": {
            "anyOf": [
                {**_PROGRESS, "required": ["done", "total", "message"]},
                {"type": "null"},
            ]
        },
        "ordering_key": {
            "type": "string",
            "description": "Where it has one: jobs of one key run one at a time, in their order.",
        },
        "result": {"description": "Once succeeded: what the task returned."},
        "error": {"anyOf": [_ERROR, {"type": "null"}]},
        "links": _object({name: {"type": "string"} for name in ("self", "result", "events")}),
    },
    [name for name in JOB if name != "result"],
)
_FAULT: Final = _object(
    {name: {"type": "string"} for name in ("detail", "pointer", "parameter")}, ["detail"]
)
_PROBLEM_SCHEMA: Final = _object(
    {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "error": _ERROR,
        "errors": {"type": "array", "items": _FAULT},
    },
    ["type", "title", "status", "detail"],
)
_SCHEMAS: Final = {"Job": _JOB_SCHEMA, "Problem": _PROBLEM_SCHEMA}
_MEMBERS: Final[dict[Kind, Described]] = {
    Kind.JOB_FAILED: {"error": {"type": "ValueError", "message": "no such place: Brn"}},
    Kind.ARGUMENTS_INVALID: {
        "errors": [{"detail": "Input should be a valid string", "pointer": "#/rows/2"}]
    },
    Kind.CALLBACK_REFUSED: {
        "errors": [{"detail": "it has to begin with https://", "parameter": "callback_url"}]
    },
}
_RETRY_AFTER: Final[Described] = {
    "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
}
_LOCATION: Final[Described] = {
    "Location": {"description": "Of the job", "schema": {"type": "string"}}
}


def _header(name: str, description: str, example: str, **schema: object) -> Described:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


PREFER: Final = _header(
    "Prefer", "`wait=N`: answer once the job is final, or after N seconds.", "wait=5"
)
_KEY: Final = _header(
    "Idempotency-Key",
    "A second request with the same key gets the job of the first.",
    '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    # Quoted or bare, 1 to 255 printable ASCII characters.
    pattern=r'^("[ !#-\[\]-~]{1,255}"|[!#-~]([ -~]{0,253}[!-~])?)$',
)


def _job(description: str, example: Described, *headers: Described) -> Described:
    content = {"application/json": {"schema": _JOB_SCHEMA, "example": example}}
    merged = {name: value for header in headers for name, value in header.items()}
    return {"description": description, "content": content, "headers": merged}


def problems(*kinds: Kind) -> Responses:
    """The answers with problems, one for each status."""
    answers: Responses = {}
    for kind in kinds:
        example = {
            "type": kind.type,
            "title": kind.title,
            "status": kind.status,
            "detail": "What is wrong this time.",
            **_MEMBERS.get(kind, {}),
        }
        content: Described = {"schema": _PROBLEM_SCHEMA, "examples": {}}
        answer = answers.setdefault(
            kind.status, {"description": "", "content": {MEDIA_TYPE: content}, "headers": {}}
        )
        known = answer["content"][MEDIA_TYPE]["examples"]
        known[kind.type.rpartition(":")[2]] = {"value": example}
        answer["description"] = "; ".join(filter(None, (answer["description"], kind.title)))
        if kind.status == 503:
            answer["headers"] = _RETRY_AFTER
    return answers


LOOK: Final[Responses] = {
    200: _job("The job", JOB),
    **problems(Kind.JOB_UNKNOWN, Kind.UNAVAILABLE),
}
RESULT: Final[Responses] = {
    200: {
        "description": "The bare result",
        "content": {"application/json": {"schema": {}, "example": _DONE["result"]}},
    },
    202: _job("It is not final yet", JOB, _LOCATION, _RETRY_AFTER),
    **problems(Kind.JOB_UNKNOWN, Kind.JOB_FAILED, Kind.JOB_CANCELLED, Kind.UNAVAILABLE),
}
CANCEL: Final[Responses] = {
    200: _job("It was final already: nothing changes", _DONE),
    202: _job("It is cancelled, or is going to be", _CANCELLED),
    **problems(Kind.JOB_UNKNOWN, Kind.UNAVAILABLE),
}
OUTCOME: Final[Responses] = {
    200: _job("It is recorded", _DONE),
    **problems(
        Kind.JSON_INVALID,
        Kind.TOKEN_REFUSED,
        Kind.JOB_UNKNOWN,
        Kind.JOB_FINAL,
        Kind.BODY_TOO_LARGE,
        Kind.NOT_JSON,
        Kind.OUTCOME_INVALID,
        Kind.UNAVAILABLE,
    ),
}
OUTCOME_REQUEST: Final[Described] = {
    "parameters": [
        _header("Authorization", "The attempt's token; or sign the body with it.", "Bearer TOKEN")
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        _object({"result": {"description": "What the task would return."}}),
                        _object(
                            {
                                "error": _object(
                                    {
                                        "type": {"type": "string"},
                                        "message": {"type": "string"},
                                        "retry": {"type": "boolean", "default": True},
                                    },
                                    ["message"],
                                )
                            }
                        ),
                        _object({"progress": _PROGRESS}),
                    ]
                },
                "examples": {
                    "result": {"value": {"result": ["Bern", None]}},
                    "error": {"value": {"error": {"type": "NoSuchPlace", "message": "Brn"}}},
                    "progress": {"value": {"progress": {"done": 10, "total": 20}}},
                },
            }
        },
    },
}
_ACCEPT: Final[Responses] = {
    200: _job("With `Prefer: wait`: the job is final", _DONE, _LOCATION),
    202: _job("The job is accepted and will be run", JOB, _LOCATION, _RETRY_AFTER),
    **problems(
        Kind.JSON_INVALID,
        Kind.KEY_INVALID,
        Kind.BODY_TOO_LARGE,
        Kind.NOT_JSON,
        Kind.ARGUMENTS_INVALID,
        Kind.KEY_REUSED,
        Kind.CALLBACK_REFUSED,
        Kind.QUEUE_FULL,
        Kind.UNAVAILABLE,
    ),
}


WEBHOOK_KEY: Final[Responses] = {**KEY, **problems(Kind.UNAVAILABLE)}


def marked(task: Task[..., Any]) -> str:
    """Return the docstring for the endpoint of a task, by which `describe` finds it again.

    FastAPI makes it the description of the operation, under whatever path that is.
    """
    return f"{inspect.getdoc(task.function) or ''}\n\n<!-- onecopy task: {task.name} -->"


def describe(app: FastAPI, tasks: Tasks) -> None:
    """Have an app's OpenAPI describe the endpoints of tasks: their bodies and their answers."""
    write: Callable[[], Described] = app.openapi

    def openapi() -> Described:
        schema = write()
        for path in cast(Described, schema.get("paths", {})).values():
            for operation in path.values():
                task = _task_of(operation, tasks)
                if task is not None:
                    _describe(operation, task, schema)
        return schema

    app.openapi = openapi


def _task_of(operation: object, tasks: Tasks) -> Task[..., Any] | None:
    """The task of an operation, by its mark, which is taken away."""
    if not isinstance(operation, dict):
        return None
    described = cast(Described, operation)
    mark = _MARK.search(described.get("description", ""))
    if mark is None:
        return None
    description = described.pop("description")[: mark.start()]
    if description:
        described["description"] = description
    return tasks.get(mark[1])


def _describe(operation: Described, task: Task[..., Any], schema: Described) -> None:
    arguments = _shared(task.signature.arguments_schema(), task.name, schema)
    result = _shared(task.signature.result_schema(), task.name, schema)
    arguments.pop("title", None)
    operation.setdefault("parameters", []).extend([CALLBACK_URL, PREFER, _KEY])
    operation["requestBody"] = {
        "required": bool(arguments.get("required")),
        "content": {"application/json": {"schema": arguments}},
    }
    answers = json.loads(json.dumps({str(status): it for status, it in _ACCEPT.items()}))
    for status in ("200", "202"):
        answers[status]["content"]["application/json"]["schema"]["properties"]["result"] = result
        # What this task returns the general example cannot know.
        answers[status]["content"]["application/json"]["example"].pop("result", None)
        answers[status]["content"]["application/json"]["example"]["task"] = task.name
    operation["responses"] = answers
    done = answers["200"]["content"]["application/json"]
    operation["callbacks"] = describe_callback(done["schema"], done["example"])


def _shared(own: Described, task: str, schema: Described) -> Described:
    """Move the definitions of a schema to where all of an API's are."""
    definitions = own.pop("$defs", {})
    known: Described = {}
    if definitions:
        known = schema.setdefault("components", {}).setdefault("schemas", known)
    names: dict[str, str] = {}
    for name in definitions:
        moved = _moved(definitions[name], {each: each for each in definitions})
        names[name] = name if known.get(name, moved) == moved else f"{task}.{name}"
    for name, definition in definitions.items():
        known[names[name]] = _moved(definition, names)
    return _moved(own, names)


def _moved(value: Any, names: dict[str, str]) -> Any:  # noqa: ANN401  any part of a schema
    """The same, with references to where the definitions are now."""
    if isinstance(value, list):
        return [_moved(each, names) for each in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    of = cast(Described, value)
    changed = {key: _moved(each, names) for key, each in of.items()}
    reference = of.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        changed["$ref"] = f"#/components/schemas/{names[reference[len('#/$defs/') :]]}"
    return changed
