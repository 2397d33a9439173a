"""Tells webhooks that can be trusted from others: for whoever receives them."""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from onecopy.errors import WebhookRefused
from onecopy.webhooks.keys import Checker, checkers, from_base64
from onecopy.webhooks.signing import ID, SIGNATURE, TIMESTAMP, signed_content

TOLERANCE: Final = 300.0
"""Seconds that two clocks may be apart, and a webhook on its way: as the reference libraries."""
_SECONDS: Final = re.compile(r"[0-9]{1,11}")
_MOST_SIGNATURES: Final = 32


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that was signed by whom it should be.

    id: the same whenever it is sent again: keep the ids of the last days, and leave out a webhook
    whose id you have seen. sent_at: when this try was made, in UTC. payload: what its JSON says.
    """

    id: str
    sent_at: datetime
    payload: Any

    @property
    def type(self) -> Any:  # noqa: ANN401  whatever JSON has
        """What has happened, as "job.succeeded"; None if the payload does not say it."""
        return self._member("type")

    @property
    def data(self) -> Any:  # noqa: ANN401  whatever JSON has
        """What it happened to, as a job; None if the payload does not say it."""
        return self._member("data")

    def _member(self, name: str) -> object:
        payload: object = self.payload
        return cast(dict[str, object], payload).get(name) if isinstance(payload, dict) else None


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    keys: str | Iterable[str],
    *,
    tolerance: float = TOLERANCE,
) -> Any:  # noqa: ANN401  whatever JSON has
    """Return the payload of a webhook, if it can be trusted.

    body: the very bytes that were received, before anything has parsed them. keys: secrets
    (`whsec_...`) or public keys (`whpk_...`), one of which has to fit; several while they change,
    also in one text with spaces. tolerance: seconds that the time of sending may be off.

    A webhook may come twice, and be sent again by somebody who saw it: leave one out whose header
    `webhook-id` you have seen.

    Raises WebhookRefused; and WebhookKeyInvalid for what is no key.
    """
    return check(body, headers, checkers(keys), tolerance=tolerance).payload


def check(
    body: bytes | str,
    headers: Mapping[str, str],
    keys: Sequence[Checker],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> Webhook:
    """Return a webhook that can be trusted. Raises WebhookRefused."""
    webhook, timestamp, signatures = _headers_of(headers)
    sent_at = _time_of(timestamp, tolerance, time.time() if now is None else now)
    raw = body.encode() if isinstance(body, str) else body
    if not _fits(signed_content(webhook, timestamp, raw), signatures, keys):
        raise WebhookRefused("no signature fits: another key, or the body is not as it was sent")
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError):
        raise WebhookRefused("its body is no JSON") from None
    return Webhook(webhook, datetime.fromtimestamp(sent_at, UTC), payload)


def _headers_of(headers: Mapping[str, str]) -> tuple[str, str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        if found.setdefault(name.lower(), value) != value and name.lower() in _WANTED:
            raise WebhookRefused(f"its header {name.lower()} is there twice")
    missing = [name for name in _WANTED if not found.get(name)]
    if missing:
        raise WebhookRefused(f"it has no header {', '.join(missing)}")
    return found[ID], found[TIMESTAMP], found[SIGNATURE]


_WANTED: Final = (ID, TIMESTAMP, SIGNATURE)


def _time_of(timestamp: str, tolerance: float, now: float) -> int:
    if not _SECONDS.fullmatch(timestamp):
        raise WebhookRefused(f"its {TIMESTAMP} is no number of seconds since 1970")
    seconds = int(timestamp)
    if abs(now - seconds) > tolerance:
        when = "too old" if seconds < now else "in the future"
        raise WebhookRefused(
            f"it is {when}: sent {abs(now - seconds):,.0f} s {'ago' if seconds < now else 'ahead'} "
            f"by its {TIMESTAMP}, and {tolerance:g} are allowed; is a clock wrong?"
        )
    return seconds


def _fits(content: bytes, signatures: str, keys: Sequence[Checker]) -> bool:
    for each in signatures.split(" ")[:_MOST_SIGNATURES]:
        version, _, text = each.partition(",")
        signature = from_base64(text)
        if signature and any(
            key.version == version and key.fits(content, signature) for key in keys
        ):
            return True
    return False
