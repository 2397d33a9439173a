"""Send jobs to a onecopy service by its URL, and follow them: for programs that are no part of it.

service.py      Client: a service
job.py          RemoteJob: a job of it
requests.py     requests that are sent again while the service is away
following.py    the events of a job, resumed after every break
"""

TYPE_CHECKING = False  # typing's, as in `onecopy` itself
if TYPE_CHECKING:
    from onecopy.client.job import JobInfo as JobInfo
    from onecopy.client.job import RemoteJob as RemoteJob
    from onecopy.client.service import Client as Client

_HOMES = {"Client": "service", "JobInfo": "job", "RemoteJob": "job"}

__all__ = ["Client", "JobInfo", "RemoteJob"]


def __getattr__(name: str) -> object:
    """Import a public name at its first use (PEP 562), and say what is missing for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    from importlib.util import find_spec

    for package in ("httpx", "httpx_sse"):
        if find_spec(package) is None:
            raise ImportError(f"the client needs {package}: pip install 'onecopy[client]'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
