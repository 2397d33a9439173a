"""Signatures of Standard Webhooks 1.0.0: of the id, the time of the try, and the very bytes sent.

The specification: https://github.com/standard-webhooks/standard-webhooks
"""

from collections.abc import Iterable
from typing import Final

from onecopy.webhooks.keys import Signer

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"


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
