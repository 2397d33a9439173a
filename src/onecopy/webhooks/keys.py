"""Secrets and keys of Standard Webhooks 1.0.0, as they are written: `whsec_`, `whsk_`, `whpk_`.

What is secret is in no `repr`, and in no error.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from onecopy.errors import WebhookKeyInvalid, WebhooksNotInstalled

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

SECRET: Final = "whsec_"
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"

_SEED: Final = 32
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a secret, by the specification."""


class Signer(Protocol):
    """What signs."""

    def sign(self, content: bytes) -> str:
        """Return a signature with its version: `v1,...` or `v1a,...`."""
        ...


class Checker(Protocol):
    """What tells true signatures from false ones."""

    version: str

    def fits(self, content: bytes, signature: bytes) -> bool:
        """Return whether this is a signature of the content; in a time that tells nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that sender and receiver share (HMAC with SHA-256)."""

    key: bytes = field(repr=False)
    version = "v1"

    @classmethod
    def read(cls, text: str) -> "Secret":
        """Return the secret that was written as `whsec_...`. Raises WebhookKeyInvalid."""
        key = _decoded(SECRET, text)
        if not _SHORTEST <= len(key) <= _LONGEST:
            raise WebhookKeyInvalid(
                SECRET, f"it has {len(key)} bytes; {_SHORTEST} to {_LONGEST} are a secret"
            )
        return cls(key)

    def sign(self, content: bytes) -> str:
        """Return a signature."""
        return f"{self.version},{_encoded(self._digest(content))}"

    def fits(self, content: bytes, signature: bytes) -> bool:
        """Return whether this is a signature of the content."""
        return hmac.compare_digest(self._digest(content), signature)

    def _digest(self, content: bytes) -> bytes:
        return hmac.digest(self.key, content, "sha256")


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs (Ed25519); whoever has the public one can verify, and not sign."""

    seed: bytes = field(repr=False)
    version = "v1a"

    @classmethod
    def new(cls) -> "PrivateKey":
        """Return a key that nobody else has."""
        return cls(secrets.token_bytes(_SEED))

    @classmethod
    def read(cls, text: str) -> "PrivateKey":
        """Return the key that was written as `whsk_...`: the seed, or the seed and the public key.

        Raises WebhookKeyInvalid.
        """
        key = _decoded(PRIVATE, text)
        if len(key) not in (_SEED, 2 * _SEED):
            raise WebhookKeyInvalid(PRIVATE, f"it has {len(key)} bytes; a key has 32, or 64")
        private = cls(key[:_SEED])
        if len(key) > _SEED and key[_SEED:] != private.public_bytes:
            raise WebhookKeyInvalid(PRIVATE, "its second half is not the public key of its first")
        return private

    def write(self) -> str:
        """Return the key as `whsk_...`: the seed and the public key, as most programs have it."""
        return PRIVATE + _encoded(self.seed + self.public_bytes)

    @property
    def public(self) -> str:
        """The public key, as `whpk_...`."""
        return PUBLIC + _encoded(self.public_bytes)

    @cached_property
    def public_bytes(self) -> bytes:
        """The public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> str:
        """Return a signature."""
        return f"{self.version},{_encoded(self._key.sign(content))}"

    @cached_property
    def _key(self) -> "ed25519.Ed25519PrivateKey":
        must_have("cryptography")
        from cryptography.hazmat.primitives.asymmetric import ed25519

        return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that verifies what a private one has signed."""

    key: bytes
    version = "v1a"

    @classmethod
    def read(cls, text: str) -> "PublicKey":
        """Return the key that was written as `whpk_...`.

        Raises WebhookKeyInvalid; WebhooksNotInstalled if nothing here can verify with it.
        """
        must_have("cryptography")
        key = _decoded(PUBLIC, text)
        if len(key) != _SEED:
            raise WebhookKeyInvalid(PUBLIC, f"it has {len(key)} bytes; a key has 32")
        return cls(key)

    def fits(self, content: bytes, signature: bytes) -> bool:
        """Return whether this is a signature of the content."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ed25519

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.key).verify(signature, content)
        except InvalidSignature:
            return False
        return True


def signers(texts: str | Iterable[str]) -> list[Signer]:
    """Return what signs: of secrets and private keys, in one text with spaces or in several.

    Raises WebhookKeyInvalid.
    """
    return [
        PrivateKey.read(word) if word.startswith(PRIVATE) else Secret.read(word)
        for word in _several(texts)
    ]


def checkers(texts: str | Iterable[str]) -> list[Checker]:
    """Return what verifies: of secrets and public keys, in one text with spaces or in several.

    Raises WebhookKeyInvalid.
    """
    return [
        PublicKey.read(word) if word.startswith(PUBLIC) else Secret.read(word)
        for word in _several(texts)
    ]


@cache
def must_be_installed() -> None:
    """Raise WebhooksNotInstalled unless this environment can send webhooks."""
    for package in ("h11", "cryptography"):
        must_have(package)


def must_have(package: str) -> None:
    """Raise WebhooksNotInstalled unless a package is there; it is not imported."""
    if find_spec(package) is None:
        raise WebhooksNotInstalled(package)


def read_secrets(texts: str | Iterable[str]) -> tuple[Secret, ...]:
    """Return secrets: of one text with spaces, or of several. Raises WebhookKeyInvalid."""
    return tuple(Secret.read(word) for word in _words(texts))


def _words(texts: str | Iterable[str]) -> list[str]:
    together = [texts] if isinstance(texts, str) else texts
    return [word for text in together for word in text.split()]


def _several(texts: str | Iterable[str]) -> list[str]:
    words = _words(texts)
    if not words:
        raise WebhookKeyInvalid(SECRET, "there is none")
    return words


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _decoded(prefix: str, text: str) -> bytes:
    """The bytes of what was written with a prefix; the text itself is in no error."""
    if not text.startswith(prefix):
        raise WebhookKeyInvalid(prefix, f"it does not begin with {prefix}")
    key = from_base64(text.removeprefix(prefix))
    if key is None:
        raise WebhookKeyInvalid(prefix, f"what follows on {prefix} is no base64")
    return key


def from_base64(text: str) -> bytes | None:
    """Return what was written in base64, padded or not; None if it is none."""
    try:
        return base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return None
