import asyncio
import time
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI

from onecopy.webhooks import Receiver, Webhook
from onecopy.webhooks.keys import Secret
from onecopy.webhooks.signing import signed
from tests.webhooks.keys import SECRET

BODY = b'{"type": "job.succeeded", "data": {"id": "j"}}'

app = FastAPI()
trusted = Receiver(SECRET, body_limit=1000)


@app.post("/hooks")
async def receive(webhook: Annotated[Webhook, Depends(trusted)]) -> list[Any]:
    return [webhook.id, webhook.type, webhook.data]


@app.post("/both")
async def both(body: dict[str, Any], webhook: Annotated[Webhook, Depends(trusted)]) -> bool:
    return body == webhook.payload


def post(
    body: bytes, headers: dict[str, str] | None = None, path: str = "/hooks"
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post(path, content=body, headers=headers)

    return asyncio.run(ask())


def headers(body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    return signed("msg_1", at or time.time(), body, [Secret.read(SECRET)])


def test_a_webhook_that_can_be_trusted_reaches_the_endpoint() -> None:
    answer = post(BODY, headers())
    assert answer.status_code == 200
    assert answer.json() == ["msg_1", "job.succeeded", {"id": "j"}]


def test_an_endpoint_that_reads_the_body_too() -> None:
    assert post(BODY, headers() | {"content-type": "application/json"}, "/both").json() is True


def test_anything_else_is_answered_401_with_a_problem() -> None:
    for answer in (post(BODY), post(BODY + b" ", headers()), post(BODY, headers(at=1))):
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert "www-authenticate" in answer.headers
        assert "cannot be trusted" in answer.json()["detail"]


def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    large = b"[" + b" " * 1000 + b"]"
    answer = post(large, headers(large))
    assert answer.status_code == 413
    assert answer.json() == {"detail": "At most 1,000 bytes."}


def test_the_schema_of_the_app_is_not_disturbed() -> None:
    operation = app.openapi()["paths"]["/hooks"]["post"]
    assert "requestBody" not in operation
    assert "parameters" not in operation
