"""What OpenAPI says of callbacks: the parameter, the webhook that is sent, the key to verify it."""

from typing import Any, Final

from onecopy.http.callbacks import PARAMETER

type Described = dict[str, Any]

CALLBACK_URL: Final[Described] = {
    "name": PARAMETER,
    "in": "query",
    "required": False,
    "description": "Is told how the job ended, by a webhook. Of `https`, at a public address.",
    "schema": {"type": "string", "format": "uri", "maxLength": 2048},
    "example": "https://example.com/hooks/jobs",
}
KEY: Final[dict[int | str, Described]] = {
    200: {
        "description": "The key",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"public_key": {"type": "string", "pattern": "^whpk_"}},
                    "required": ["public_key"],
                },
                "example": {"public_key": "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="},
            }
        },
    }
}
_ABOUT: Final = (
    "Standard Webhooks 1.0.0. Verify the signature: `v1a` with the key of `webhook-key`, or `v1` "
    "with the secret. The same webhook may come twice: leave out what has a `webhook-id` "
    "that you have seen."
)
_HEADERS: Final = (
    ("webhook-id", "The same at every try.", "msg_h1bDvKzXqQmW2yT5sLrNcEuG"),
    ("webhook-timestamp", "When this try was made, in seconds since 1970.", "1795463371"),
    (
        "webhook-signature",
        "Signatures, with spaces between them.",
        "v1a,hnO3f9T8... v1,K5oZ...",
    ),
)


def describe_callback(job: Described, example: Described) -> Described:
    """Return the `callbacks` of an operation that answers with such a job."""
    data = {name: value for name, value in job["properties"].items() if name != "links"}
    required = [name for name in job["required"] if name != "links"]
    payload: Described = {
        "type": "object",
        "properties": {
            "type": {"enum": ["job.succeeded", "job.failed", "job.cancelled"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {**job, "properties": data, "required": required},
        },
        "required": ["type", "timestamp", "data"],
    }
    told = {name: value for name, value in example.items() if name != "links"}
    body = {"type": "job.succeeded", "timestamp": example["finished_at"], "data": told}
    operation: Described = {
        "summary": "How the job ended",
        "description": _ABOUT,
        "parameters": [_header(*each) for each in _HEADERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": payload, "example": body}},
        },
        "responses": {
            "2XX": {"description": "It is there."},
            "410": {"description": "No more of these, please."},
            "default": {"description": "It is sent again: ten times in 75 hours."},
        },
    }
    return {"outcome": {f"{{$request.query.{PARAMETER}}}": {"post": operation}}}


def _header(name: str, description: str, example: str) -> Described:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }
