"""A FastAPI dependency for whoever receives webhooks."""

from collections.abc import Iterable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from onecopy.errors import WebhookRefused
from onecopy.webhooks.keys import checkers
from onecopy.webhooks.verifying import TOLERANCE, Webhook, check

_PROBLEM: Final = {"Content-Type": "application/problem+json"}
_LARGEST: Final = 1024 * 1024


class Receiver:
    """A dependency that lets only webhooks through that can be trusted.

        trusted = Receiver(os.environ["WEBHOOK_SECRET"])

        @app.post("/hooks")
        async def receive(webhook: Annotated[Webhook, Depends(trusted)]) -> None: ...

    Anything else is answered 401, or 413 if it is larger than `body_limit` bytes, with a problem
    (RFC 9457).
    """

    def __init__(
        self,
        keys: str | Iterable[str],
        *,
        tolerance: float = TOLERANCE,
        body_limit: int = _LARGEST,
    ) -> None:
        """Take keys and tolerance as `verify` does. Raises WebhookKeyInvalid."""
        self._keys = checkers(keys)
        self._tolerance = tolerance
        self._body_limit = body_limit

    async def __call__(self, request: Request) -> Webhook:
        """Return the webhook that a request carries. Raises HTTPException."""
        body = await self._body(request)
        try:
            return check(body, request.headers, self._keys, tolerance=self._tolerance)
        except WebhookRefused as error:
            challenge = {"WWW-Authenticate": "Signature"}
            raise HTTPException(401, str(error), _PROBLEM | challenge) from None

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._body_limit:
                raise HTTPException(413, f"At most {self._body_limit:,} bytes.", _PROBLEM)
        return bytes(body)
