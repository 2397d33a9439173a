"""The addresses of a host name, looked up beside the event loop.

Each look-up has a thread of its own, which is not waited for: the system's resolver may take half a
minute and cannot be told to stop, and a pool would have the others wait, or the end of the process.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

_MOST: Final = 512
"""Look-ups at a time: what clients can have a process do is bounded. A courier has less places."""
_places: Final = threading.BoundedSemaphore(_MOST)


async def resolve(host: str) -> list[str]:
    """Return the addresses of a host name. Raises OSError: there are none, or not now."""
    if not _places.acquire(blocking=False):
        raise OSError(f"too many names are being looked up to look up {host}")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def look() -> None:
        try:
            found: list[str] | OSError = _addresses(host)
        except OSError as error:
            found = error
        finally:
            _places.release()
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(_tell, answer, found)

    threading.Thread(target=look, name="onecopy-name", daemon=True).start()
    return await answer


def _tell(answer: asyncio.Future[list[str]], found: list[str] | OSError) -> None:
    if answer.done():
        return
    if isinstance(found, OSError):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is no host name") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))
