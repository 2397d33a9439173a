"""Modules that servers and frameworks import late: at the first request, in each worker.

Imported in the image instead, they are shared. (Measured with FastAPI: 5 MB a worker.)
"""

import importlib
import sys
from collections.abc import Iterable
from typing import Final

from uvicorn import Config

from onecopy.execution.connect import new_runtime
from onecopy.webhooks.keys import must_be_installed

_LATE: Final = {
    "anyio": ("anyio._backends._asyncio",),
    "asyncio": ("concurrent.futures.thread", "encodings.idna", "encodings.ascii"),
    "fastapi": ("fastapi.telemetry._runtime",),
    "pydantic": ("pydantic._internal._dataclasses",),
    "starlette": ("starlette.formparsers", "starlette.responses", "starlette.staticfiles"),
}
"""What is imported late, by the module whose presence says that it will be."""
_FOR_JOBS: Final = ("onecopy.server.job", "uuid")
_FOR_WEBHOOKS: Final = (
    "onecopy.webhooks.sending",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
)


def preload(config: Config) -> None:
    """Import what the workers of this app are going to import."""
    config.get_loop_factory()  # Imports uvloop, where that is chosen.
    for present, late in _LATE.items():
        if present in sys.modules:
            for name in late:
                _import_if_there(name)


def preload_for_submitting() -> None:
    """Import the store and the engine that the environment names.

    Measured: 2 MB a worker, 20 MB where these need clients of servers. Raises OptionError: there is
    no such store or engine; and Unavailable.
    """
    new_runtime()


def preload_for_jobs() -> None:
    """Import what workers of an app with tasks are going to import: to send jobs, and to run them.

    Raises as `preload_for_submitting` does.
    """
    for name in _FOR_JOBS:
        importlib.import_module(name)
    preload_for_submitting()


def preload_for_subscriptions(brokers: Iterable[str]) -> None:
    """Import the clients of brokers; one that is not installed is told of by who needs it."""
    for broker in brokers:
        _import_if_there(f"onecopy.subscriptions.{broker}")


def preload_for_webhooks() -> None:
    """Import what delivers webhooks. Raises WebhooksNotInstalled.

    Measured: 1.2 MB a worker.
    """
    must_be_installed()
    for name in _FOR_WEBHOOKS:
        importlib.import_module(name)


def _import_if_there(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # Another version of the library, or an extra that is not installed.
