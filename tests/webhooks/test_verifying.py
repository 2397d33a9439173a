import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks

from onecopy import webhooks
from onecopy.errors import OneCopyError, WebhookRefused
from onecopy.webhooks.keys import Secret, checkers
from onecopy.webhooks.signing import signed
from onecopy.webhooks.verifying import check
from tests.webhooks.keys import OTHER_SECRET, PRIVATE, SECRET

BODY = b'{"type":"job.failed","timestamp":"2026-11-23T19:49:26.120Z","data":{"id":"j"}}'
NOW = 1_800_000_000


def headers(at: float = NOW, body: bytes = BODY) -> dict[str, str]:
    return signed("msg_1", at, body, [Secret.read(SECRET), PRIVATE])


@pytest.mark.parametrize(
    "keys",
    [
        SECRET,
        PRIVATE.public,
        [OTHER_SECRET, SECRET],
        f"{OTHER_SECRET} {PRIVATE.public}",
        [f"{OTHER_SECRET} {SECRET}"],
    ],
)
def test_one_key_that_fits_is_enough(keys: str | list[str]) -> None:
    payload = webhooks.verify(BODY, headers(time.time()), keys)
    assert payload == json.loads(BODY)


def test_what_the_reference_library_signs() -> None:
    at = datetime.now(UTC)
    theirs = {
        "Webhook-Id": "msg_2",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": standardwebhooks.Webhook(SECRET).sign("msg_2", at, BODY.decode()),
    }
    assert webhooks.verify(BODY.decode(), theirs, SECRET)["type"] == "job.failed"


def test_what_a_webhook_says_of_itself() -> None:
    webhook = check(BODY, headers(), checkers(SECRET), now=NOW)
    assert webhook.id == "msg_1"
    assert webhook.sent_at == datetime.fromtimestamp(NOW, UTC)
    assert (webhook.type, webhook.data) == ("job.failed", {"id": "j"})
    bare = check(b"[1]", headers(body=b"[1]"), checkers(SECRET), now=NOW)
    assert (bare.payload, bare.type, bare.data) == ([1], None, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook-id": "msg_2"}, "no signature fits"),
        ({"webhook-timestamp": str(NOW + 1)}, "no signature fits"),
        ({"webhook-timestamp": f"0{NOW}"}, "no signature fits"),
        ({"webhook-signature": ""}, "no header webhook-signature"),
        ({"webhook-id": ""}, "no header webhook-id"),
        ({"webhook-timestamp": ""}, "no header webhook-timestamp"),
        ({"webhook-timestamp": "yesterday"}, "no number of seconds"),
        ({"webhook-timestamp": f"{NOW}.5"}, "no number of seconds"),
        ({"webhook-timestamp": f"-{NOW}"}, "no number of seconds"),
        (
            {"webhook-timestamp": "\uff11\uff18\uff10\uff10"},
            "no number of seconds",
        ),
        ({"webhook-timestamp": "9" * 500}, "no number of seconds"),
        ({"webhook-signature": "v1"}, "no signature fits"),
        ({"webhook-signature": "v1,"}, "no signature fits"),
        ({"webhook-signature": "v1,é!"}, "no signature fits"),
        ({"webhook-signature": "v1a,AAAA v1,AAAA , ,, v2,AAAA"}, "no signature fits"),
        ({"Webhook-Id": "msg_2"}, "there twice"),
    ],
)
def test_headers_that_were_tampered_with(change: dict[str, str], words: str) -> None:
    with pytest.raises(WebhookRefused, match=words):
        check(BODY, headers() | change, checkers([SECRET, PRIVATE.public]), now=NOW)


def test_a_body_that_was_tampered_with() -> None:
    for body in (BODY + b" ", BODY.replace(b"failed", b"succeeded"), b""):
        with pytest.raises(WebhookRefused, match="no signature fits"):
            check(body, headers(), checkers([SECRET, PRIVATE.public]), now=NOW)


def test_a_signature_of_one_kind_under_the_name_of_the_other() -> None:
    swapped = headers()
    swapped["webhook-signature"] = (
        swapped["webhook-signature"].replace("v1,", "v0,").replace("v1a,", "v1,")
    )
    with pytest.raises(WebhookRefused):
        check(BODY, swapped, checkers([SECRET, PRIVATE.public]), now=NOW)


@pytest.mark.parametrize("skew", [-300, 0, 300])
def test_clocks_that_are_apart_as_far_as_is_allowed(skew: int) -> None:
    assert check(BODY, headers(), checkers(SECRET), now=NOW + skew)


@pytest.mark.parametrize(("skew", "words"), [(301, "too old: sent 301 s ago"), (-301, "future")])
def test_a_webhook_that_is_sent_again_later_or_from_the_future(skew: int, words: str) -> None:
    with pytest.raises(WebhookRefused, match=words):
        check(BODY, headers(), checkers(SECRET), now=NOW + skew)
    assert check(BODY, headers(), checkers(SECRET), now=NOW + skew, tolerance=301)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b""])
def test_a_signed_body_that_is_no_json(body: bytes) -> None:
    with pytest.raises(WebhookRefused, match="no JSON"):
        check(body, headers(body=body), checkers(SECRET), now=NOW)


def test_a_receiver_imports_nothing_that_sends() -> None:
    program = (
        "import sys; from onecopy import webhooks; webhooks.verify; import onecopy; "
        "print([name for name in ('h11', 'httpx', 'cryptography', 'fastapi', 'asyncio') "
        "if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


def test_the_errors_are_of_the_one_tree() -> None:
    with pytest.raises(OneCopyError):
        webhooks.verify(BODY, {}, SECRET)
    with pytest.raises(OneCopyError):
        webhooks.verify(BODY, {}, "a password")
