"""What a Redis server, or the way to it, is to blame for, in words: what, where, what to do."""

from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ResponseError,
    TimeoutError,  # noqa: A004 - another one than Python's
)

from onecopy.redis_address import RedisAddress
from onecopy.stores.base import Unavailable
from onecopy.stores.redis_format import NEWER, newer

_REFUSALS: Final = {
    "OOM": "it has no memory left: raise maxmemory, or shorten how long jobs are kept",
    "READONLY": "it is a replica, which cannot be written: name the primary",
    "LOADING": "it reads its data after a start: it will answer soon",
    "MISCONF": "it cannot write to its disk: see its log",
    "NOPERM": "its ACL does not allow this user what it needs: all commands on its keys",
    "NOAUTH": "it wants a password: redis://:password@host",
    "BUSY": "a script of somebody else keeps it busy",
    "CLUSTERDOWN": "its cluster is down",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "MOVED": "it is a node of a cluster that does not have these keys: name the node that has",
}

_FULL: Final = "its disk is full: make room, nothing else needs to be done"


def unreachable(address: RedisAddress, error: Exception) -> Unavailable:
    """Say why there is no connection."""
    return Unavailable(f"the Redis server {address.name} {_why(address, error)}")


def lost(address: RedisAddress, error: Exception) -> Unavailable:
    """Say why an answer did not come."""
    if isinstance(error, TimeoutError):
        words = "did not answer in time: is it overloaded, or stopped?"
        return Unavailable(f"the Redis server {address.name} {words}")
    return unreachable(address, error)


def refused(address: RedisAddress, error: ResponseError) -> Unavailable:
    """Say what the server itself has said."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if code == NEWER:
        return newer(address.name, int(str(error).split()[1]))
    words = _REFUSALS.get(code, f"refuses: {error}")
    if code == "MISCONF" and "No space left" in str(error):
        words = _FULL
    return Unavailable(f"the Redis server {address.name} cannot be used now: {words}")


def _why(address: RedisAddress, error: Exception) -> str:
    match error:
        case BusyLoadingError():
            return f"cannot be used now: {_REFUSALS['LOADING']}"
        case AuthenticationError() | AuthorizationError():
            if error.status_code == "NOAUTH":
                return _REFUSALS["NOAUTH"]
            return "does not accept user and password: look at those in the URL"
        case TimeoutError():
            return "cannot be reached in time: is it there, does a firewall keep it from us?"
        case _ if address.tls:
            return f"cannot be reached by TLS: {_words(error)}; `?ca=` names a file of authorities"
        case _:
            return f"cannot be reached: {_words(error)}; is it running, is the URL right?"


def _words(error: Exception) -> str:
    """The innermost cause: the client repeats host and port around it."""
    while isinstance(error.__context__, OSError):
        error = error.__context__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__
