"""Webhooks by Standard Webhooks 1.0.0: sent when a job is final; verified by who receives them.

urls.py         a URL to be called back, taken apart once
addresses.py    which addresses may be called
names.py        the addresses of a host name
keys.py         secrets and keys as they are written
signing.py      `sign`: the headers that a webhook is sent with
verifying.py    `verify`, for receivers
receiving.py    `Receiver`, a FastAPI dependency
config.py       what the app and the environment say
endpoints.py    `Endpoint`: a URL with secrets of its own
callbacks.py    whom an app's jobs tell, and who may ask to be told
connection.py   HTTP/1.1 to a receiver
sending.py      one try to deliver
receivers.py    how much is sent to each receiver at a time
courier.py      delivers what a store has for delivery
"""

TYPE_CHECKING = False  # typing's, as in `onecopy` itself
if TYPE_CHECKING:
    from onecopy.webhooks.config import Webhooks as Webhooks
    from onecopy.webhooks.endpoints import Endpoint as Endpoint
    from onecopy.webhooks.receiving import Receiver as Receiver
    from onecopy.webhooks.signing import sign as sign
    from onecopy.webhooks.verifying import Webhook as Webhook
    from onecopy.webhooks.verifying import verify as verify

_HOMES = {
    "Endpoint": "endpoints",
    "Receiver": "receiving",
    "Webhook": "verifying",
    "Webhooks": "config",
    "sign": "signing",
    "verify": "verifying",
}

__all__ = ["Endpoint", "Receiver", "Webhook", "Webhooks", "sign", "verify"]


def __getattr__(name: str) -> object:
    """Import a public name at its first use (PEP 562): a receiver needs nothing that sends."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
