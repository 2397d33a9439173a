"""What an app and its environment say of webhooks.

ONECOPY_WEBHOOK_SECRET       whsec_...; several, with spaces between them, while they change
ONECOPY_WEBHOOK_ALLOW        networks that are called though they are private, with commas
ONECOPY_WEBHOOK_PRIVATE_KEY  whsk_...; else one is made, once, in the state folder
"""

import copy
import ipaddress
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onecopy.errors import OptionError, StateFolderError, WebhookKeyInvalid
from onecopy.execution.state import state_folder
from onecopy.webhooks.addresses import Network, check_as_written
from onecopy.webhooks.endpoints import Endpoint, by_url
from onecopy.webhooks.keys import PrivateKey, Secret, Signer, read_secrets
from onecopy.webhooks.urls import read_url

SECRET: Final = "ONECOPY_WEBHOOK_SECRET"
ALLOW: Final = "ONECOPY_WEBHOOK_ALLOW"
PRIVATE_KEY: Final = "ONECOPY_WEBHOOK_PRIVATE_KEY"
KEY_FILE: Final = "webhook-key"
"""In the state folder: the private key, where none is configured."""


@dataclass(frozen=True, slots=True, init=False)
class Webhooks:
    """Who is told when a job is final, and how that is signed.

    urls: told of every job; as an `Endpoint`, with secrets of its own. secrets: each other webhook
    is signed with each of them. allow: networks that may be called though they are private; `http:`
    is called there only. private_key: signs each webhook too, for those who share no secret with
    the service.
    """

    urls: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    """The same."""
    secrets: tuple[Secret, ...]
    allow: tuple[Network, ...]
    private_key: PrivateKey | None = field(repr=False)

    def __init__(
        self,
        *,
        urls: Iterable[str | Endpoint] = (),
        secrets: str | Iterable[str] | None = None,
        allow: str | Iterable[str] | None = None,
        private_key: str | None = None,
    ) -> None:
        """Take what the app says; what it leaves out, the environment says.

        Raises OptionError for what cannot be had, CallbackRefused for a URL that cannot be called.
        """
        networks = _networks(os.environ.get(ALLOW, "") if allow is None else allow)
        endpoints = _endpoints(urls, networks)
        object.__setattr__(self, "urls", tuple(dict.fromkeys(each.url for each in endpoints)))
        object.__setattr__(self, "endpoints", endpoints)
        object.__setattr__(self, "secrets", _secrets(secrets))
        object.__setattr__(self, "allow", networks)
        object.__setattr__(self, "private_key", _private_key(private_key))

    def key(self) -> PrivateKey:
        """Return the private key: the one that is configured, or that of the state folder.

        Raises StateFolderError. Reads, or makes, a file.
        """
        return self.private_key or _key_of(state_folder())

    def signers(self) -> "Signers":
        """Return what signs webhooks; raises as `key`."""
        return Signers(self.secrets, by_url(self.endpoints), self.key())


class Signers:
    """What signs webhooks, by the URL that is told."""

    def __init__(
        self,
        secrets: tuple[Secret, ...],
        endpoints: Mapping[str, tuple[Secret, ...]],
        key: PrivateKey,
    ) -> None:
        self._secrets = secrets
        self._endpoints = endpoints
        self._key = key

    def of(self, url: str) -> tuple[Signer, ...]:
        """Return the secrets of a URL, or of all that have none of their own; and the key."""
        return (*self._endpoints.get(url, self._secrets), self._key)


def agreed(given: Sequence[Webhooks]) -> Webhooks | None:
    """Return what those that are given say together; None if none is.

    Raises OptionError if two would sign differently, or call others: deliveries are of them all.
    """
    if not given:
        return None
    for one in given[1:]:
        first = given[0]
        if (one.secrets, one.allow, one.private_key) != (
            first.secrets,
            first.allow,
            first.private_key,
        ):
            raise OptionError(
                "webhooks", "two OneCopy of one process have different keys or networks"
            )
    together = copy.copy(given[0])
    endpoints = tuple(endpoint for one in given for endpoint in one.endpoints)
    by_url(endpoints)
    object.__setattr__(together, "endpoints", endpoints)
    return together


def _endpoints(urls: Iterable[str | Endpoint], allow: tuple[Network, ...]) -> tuple[Endpoint, ...]:
    given = [urls] if isinstance(urls, str) else urls
    found = tuple(each if isinstance(each, Endpoint) else Endpoint(each) for each in given)
    for endpoint in found:
        check_as_written(read_url(endpoint.url), allow)
    by_url(found)
    return found


def _networks(given: str | Iterable[str]) -> tuple[Network, ...]:
    texts = [given] if isinstance(given, str) else given
    return tuple(_network(word) for text in texts for word in re.split(r"[,\s]+", text) if word)


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        raise OptionError(ALLOW, f"{error}; write for example 10.1.0.0/16,fd00::/8") from None


def _secrets(given: str | Iterable[str] | None) -> tuple[Secret, ...]:
    try:
        return read_secrets(os.environ.get(SECRET, "") if given is None else given)
    except WebhookKeyInvalid as error:
        raise OptionError(SECRET, error.reason) from None


def _private_key(given: str | None) -> PrivateKey | None:
    text = (given or os.environ.get(PRIVATE_KEY, "")).strip()
    try:
        return PrivateKey.read(text) if text else None
    except WebhookKeyInvalid as error:
        raise OptionError(PRIVATE_KEY, error.reason) from None


def _key_of(folder: str) -> PrivateKey:
    """The key of a state folder; made, if there is none, by whoever is first."""
    path = Path(folder, KEY_FILE)
    try:
        if not path.exists():
            _make_key(path)
        return PrivateKey.read(path.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise StateFolderError(folder, f"its {KEY_FILE}: {error}") from error
    except WebhookKeyInvalid as error:
        raise StateFolderError(
            folder, f"its {KEY_FILE} is damaged ({error.reason}); delete it to have another made"
        ) from None


def _make_key(path: Path) -> None:
    """Write a new key, whole before it has its name: of several processes the first one's stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{KEY_FILE}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(PrivateKey.new().write() + "\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)
