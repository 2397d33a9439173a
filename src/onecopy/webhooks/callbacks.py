"""Whom the jobs of an app tell how they ended, and who may ask to be told."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

from onecopy.errors import CallbackRefused
from onecopy.webhooks import names
from onecopy.webhooks.addresses import NOT_PUBLIC, addresses_of, check_as_written
from onecopy.webhooks.config import Webhooks
from onecopy.webhooks.keys import must_be_installed
from onecopy.webhooks.urls import read_url

_PATIENCE: Final = 1.0
"""Seconds that a request waits for a name to be looked up; it is looked up for each try anyway."""
_UNKNOWN: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


class Callbacks:
    """The callbacks of one app.

    urls: told of each of its jobs.
    """

    def __init__(self, given: Webhooks | None = None) -> None:
        """Take what the app says of webhooks; None: what the environment says, once it is asked."""
        self.urls = () if given is None else given.urls
        self._config = given

    @property
    def config(self) -> Webhooks:
        """What the app says of webhooks, or the environment. Raises OptionError."""
        if self._config is None:
            self._config = Webhooks()
        return self._config

    def check_declared(self, urls: Iterable[str]) -> None:
        """Check URLs of the app's own as they are written. Raises CallbackRefused."""
        for url in urls:
            check_as_written(read_url(url), self.config.allow)

    async def check_given(self, url: str) -> None:
        """Check a URL that a client gave as a try to deliver will: as far as a moment tells.

        Raises CallbackRefused; WebhooksNotInstalled if nothing here can deliver.
        """
        must_be_installed()
        try:
            async with asyncio.timeout(_PATIENCE):
                await addresses_of(read_url(url), self.config.allow, names.resolve)
        except socket.gaierror as error:
            if error.errno in _UNKNOWN:
                # In the same words as for a private one: who asks is not to learn which names are.
                raise CallbackRefused(url, NOT_PUBLIC) from None
        except (OSError, TimeoutError):
            return
