"""Stores by URL, as ONECOPY_STORE names them."""

from importlib.util import find_spec
from typing import Literal
from urllib.parse import parse_qsl, unquote

from onecopy.errors import OptionError
from onecopy.stores.base import Store


def open_store(url: str) -> Store:
    """Return the store that a URL names; `open` it before it is used.

    `sqlite:///jobs.db`             a file, relative to the working folder
    `sqlite:////var/lib/jobs.db`    a file by its full path
    `...?synchronous=normal`        faster; a power cut may take the last moments
    `redis://:password@host:6379/0` a Redis server; `rediss://` by TLS; `...?prefix=name`
    `postgresql://user:password@host/database`   for any number of hosts (`postgres://` too)
    `memory://`                     in this process alone: for tests

    Raises OptionError: the URL names no store, or has an option that there is not.
    """
    scheme, _, rest = url.partition("://")
    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    match scheme:
        case "sqlite":
            return _sqlite(url, path, options)
        case "redis" | "rediss":
            return _redis(url)
        case "postgresql" | "postgres":
            return _postgres(url)
        case "memory" if not path and not options:
            from onecopy.stores.memory import MemoryStore

            return MemoryStore()
        case _:
            raise OptionError(
                "store",
                f"{without_secrets(url)!r} names no store; there are sqlite:///jobs.db, "
                "redis://host:6379/0 and postgresql://user@host/database (ONECOPY_STORE)",
            )


def without_secrets(url: str) -> str:
    """Return a URL without what may be a password: what is before the host, and after the path."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


def file_of(url: str) -> str | None:
    """Return the path of the file that the store of a URL is in; None if it is in none."""
    scheme, _, rest = url.partition("://")
    return unquote(rest.partition("?")[0][1:]) if scheme == "sqlite" else None


def _sqlite(url: str, path: str, options: dict[str, str]) -> Store:
    from onecopy.stores.sqlite import SQLiteStore

    if not path.startswith("/") or path == "/":
        raise OptionError("store", f"{url!r} has no path; write sqlite:///jobs.db")
    synchronous = _synchronous(url, options.pop("synchronous", "full"))
    if options:
        raise OptionError("store", f"{url!r} has an option that there is not: {', '.join(options)}")
    return SQLiteStore(unquote(path[1:]), synchronous=synchronous)


def _redis(url: str) -> Store:
    if find_spec("redis") is None:
        raise OptionError("store", "redis:// needs its client: pip install 'onecopy[redis]'")
    from onecopy.redis_address import RedisAddress
    from onecopy.stores.redis import RedisStore

    return RedisStore(RedisAddress.parse(url, "store"))


def _postgres(url: str) -> Store:
    try:
        from onecopy.postgres_address import PostgresAddress
        from onecopy.stores.postgres import PostgresStore
    except ImportError as error:  # Also without libpq, where psycopg is there by itself.
        words = "postgresql:// needs its client: pip install 'onecopy[postgres]'"
        raise OptionError("store", f"{words} ({error})") from error
    return PostgresStore(PostgresAddress.parse(url, "store"))


def _synchronous(url: str, value: str) -> Literal["full", "normal"]:
    if value in ("full", "normal"):
        return value
    raise OptionError("store", f"{url!r}: synchronous is full or normal")
