"""Receivers of an app's own, each with secrets that no other one knows."""

from collections.abc import Iterable
from dataclasses import dataclass

from onecopy.errors import OptionError
from onecopy.webhooks.keys import Secret, read_secrets


@dataclass(frozen=True, slots=True, init=False)
class Endpoint:
    """A URL that is told of every job, and what its webhooks are signed with.

    secrets: in the place of those of `Webhooks`; empty: it is signed with these.
    """

    url: str
    secrets: tuple[Secret, ...]

    def __init__(self, url: str, *, secrets: str | Iterable[str] = ()) -> None:
        """Take `whsec_...`; several, also in one text with spaces, while they change.

        Raises WebhookKeyInvalid for a secret that is none.
        """
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "secrets", read_secrets(secrets))


def by_url(endpoints: Iterable[Endpoint]) -> dict[str, tuple[Secret, ...]]:
    """Return the secrets of endpoints that have their own.

    Raises OptionError if one URL has different ones.
    """
    found: dict[str, tuple[Secret, ...]] = {}
    for each in endpoints:
        if each.secrets and found.setdefault(each.url, each.secrets) != each.secrets:
            raise OptionError("webhooks", "one URL is given twice, with different secrets")
    return found
