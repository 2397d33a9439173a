"""Signatures of Standard Webhooks 1.0.0: of the id, the time of the try, and the very bytes sent.

The specification: https://github.com/standard-webhooks/standard-webhooks
"""

import secrets
import time
from collections.abc import Iterable
from typing import Final

from onecopy.webhooks.keys import Signer, signers

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"


def sign(
    body: bytes | str,
    keys: str | Iterable[str],
    *,
    webhook: str | None = None,
    at: float | None = None,
) -> dict[str, str]:
    """Return the headers with which a body is sent as a webhook.

    body: the very bytes that are sent. keys: secrets (`whsec_...`) or private keys (`whsk_...`),
    also several in one text with spaces. webhook: its id; a new one if it is left out. at: when it
    is sent, in seconds since 1970; now if it is left out.

    Raises WebhookKeyInvalid; WebhooksNotInstalled for a private key where nothing can use it.
    """
    raw = body.encode() if isinstance(body, str) else body
    name = f"msg_{secrets.token_urlsafe(18)}" if webhook is None else webhook
    return signed(name, time.time() if at is None else at, raw, signers(keys))


def signed(webhook: str, at: float, body: bytes, signers: Iterable[Signer]) -> dict[str, str]:
    """Return the headers of one try to deliver a webhook.

    webhook: its id, the same at each try. at: when this try is made, in seconds since 1970.
    """
    timestamp = str(int(at))
    content = signed_content(webhook, timestamp, body)
    return {
        ID: webhook,
        TIMESTAMP: timestamp,
        SIGNATURE: " ".join(signer.sign(content) for signer in signers),
    }


def signed_content(webhook: str, timestamp: str, body: bytes) -> bytes:
    """Return what is signed."""
    return b".".join((webhook.encode(), timestamp.encode(), body))
