import base64
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from onecopy.errors import WebhookKeyInvalid
from onecopy.webhooks.keys import PrivateKey, PublicKey, Secret, checkers, read_secrets
from onecopy.webhooks.signing import sign, signed
from tests.webhooks.keys import OTHER_SECRET, PRIVATE, SECRET, secret

BODY = '{"type":"job.succeeded","data":{"name":"Zürich \\u00e9"}}'.encode()


def test_the_reference_library_accepts_what_is_signed() -> None:
    headers = signed("msg_1", time.time(), BODY, [Secret.read(SECRET), PRIVATE])
    payload = standardwebhooks.Webhook(SECRET).verify(BODY, headers)
    assert payload["data"] == {"name": "Zürich é"}


def test_the_signature_is_the_very_one_of_the_reference_library() -> None:
    at = 1_674_087_231
    theirs = standardwebhooks.Webhook(SECRET).sign(
        "msg_1", datetime.fromtimestamp(at, UTC), BODY.decode()
    )
    headers = signed("msg_1", at + 0.9, BODY, [Secret.read(SECRET)])
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": theirs,
    }


def test_the_example_of_the_specification() -> None:
    """Its text has the content that is signed and the form of the header."""
    body = (
        b'{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z",'
        b'"data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}'
    )
    headers = signed("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", 1674087231, body, [PRIVATE])
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    Ed25519PublicKey.from_public_bytes(PRIVATE.public_bytes).verify(
        base64.b64decode(signature), b"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W.1674087231." + body
    )


@pytest.mark.parametrize("keys", [SECRET, [SECRET], f"{PRIVATE.write()} {SECRET}"])
def test_what_somebody_else_signs(keys: str | list[str]) -> None:
    headers = sign(BODY, keys)
    assert headers["webhook-id"].startswith("msg_")
    assert standardwebhooks.Webhook(SECRET).verify(BODY, headers)
    again = sign(BODY.decode(), keys, webhook="msg_1", at=1_674_087_231)
    assert again["webhook-id"] == "msg_1"
    assert again["webhook-timestamp"] == "1674087231"
    for wrong in ("", PRIVATE.public, "hunter2"):
        with pytest.raises(WebhookKeyInvalid):
            sign(BODY, wrong)


def test_both_secrets_sign_while_they_change() -> None:
    headers = signed("msg_1", time.time(), BODY, read_secrets(f"{SECRET} {OTHER_SECRET}"))
    assert headers["webhook-signature"].count("v1,") == 2
    for each in (SECRET, OTHER_SECRET):
        standardwebhooks.Webhook(each).verify(BODY, headers)


def test_a_private_key_is_read_as_it_is_written() -> None:
    key = PrivateKey.new()
    assert PrivateKey.read(key.write()) == key
    assert len(base64.b64decode(key.write().removeprefix("whsk_"))) == 64
    seed_alone = "whsk_" + base64.b64encode(key.seed).decode()
    assert PrivateKey.read(seed_alone).public == key.public
    own = Ed25519PrivateKey.from_private_bytes(key.seed).public_key().public_bytes_raw()
    assert PublicKey.read(key.public).key == own


@pytest.mark.parametrize("size", [24, 31, 64])
def test_secrets_of_every_length_that_is_allowed(size: int) -> None:
    text = secret(size=size)
    assert Secret.read(text).key == b"a" * size
    assert Secret.read(text.rstrip("=")).key == b"a" * size


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (Secret.read, "YWFh" * 10),
        (Secret.read, secret(size=23)),
        (Secret.read, secret(size=65)),
        (Secret.read, "whsec_%%%%" + "YWFh" * 10),
        (Secret.read, "whsec_YWFé" + "YWFh" * 10),
        (PrivateKey.read, SECRET),
        (PrivateKey.read, "whsk_" + "YWFh" * 11),
        (PrivateKey.read, "whsk_" + base64.b64encode(b"secret!!" * 8).decode()),
        (PublicKey.read, "whpk_" + "YWFh" * 11),
        (checkers, []),
        (checkers, " "),
        (checkers, PRIVATE.write()),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(WebhookKeyInvalid) as raised:
        read(text)
    assert "YWFh" not in str(raised.value)


def test_no_key_is_in_a_repr() -> None:
    shown = f"{Secret.read(SECRET)!r} {PRIVATE!r} {[Secret.read(SECRET)]}"
    assert "aaaa" not in shown
    assert "YWFh" not in shown
    assert "\\x00\\x01" not in shown
