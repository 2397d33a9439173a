"""Where a Redis server is, by its URL; for the store and the engine that use one."""

from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from onecopy.errors import OptionError

EXAMPLE: Final = "redis://user:password@host:6379/0"
_TLS: Final = {
    "ca": "ssl_ca_certs",
    "cert": "ssl_certfile",
    "key": "ssl_keyfile",
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server, who one is there, and which of its databases is meant.

    name: without user and password, for messages. prefix: what keys and channels begin with.
    arguments: of the client's connections.
    """

    name: str
    tls: bool
    prefix: str
    arguments: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str, option: str) -> Self:
        """Read a URL: `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS.

        `?prefix=` is what keys begin with (`onecopy`); `?ca=`, `?cert=`, `?key=` are files for TLS.
        Raises OptionError, naming the option that the URL was given as.
        """
        parts = urlsplit(url)
        try:
            port = parts.port or 6379
        except ValueError:
            raise _wrong(parts, option, "its port is no number up to 65535") from None
        database = parts.path.removeprefix("/") or "0"
        if not database.isdecimal():
            raise _wrong(parts, option, f"{database!r} is no number of a database")
        if not parts.hostname:
            raise _wrong(parts, option, "it names no host")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = options.pop("prefix", "onecopy")
        if not prefix or set(prefix) & set("{}"):
            raise _wrong(parts, option, "prefix is a name without braces")
        tls = parts.scheme == "rediss"
        files = {_TLS[key]: options.pop(key) for key in _TLS if tls and key in options}
        if options:
            raise _wrong(parts, option, f"it has an option that there is not: {', '.join(options)}")
        arguments = {
            "host": unquote(parts.hostname),
            "port": port,
            "db": int(database),
            "username": None if parts.username is None else unquote(parts.username) or None,
            "password": None if parts.password is None else unquote(parts.password),
            **files,
        }
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(f"{parts.scheme}://{host}:{port}/{database}", tls, prefix, arguments)


def _wrong(parts: SplitResult, option: str, what: str) -> OptionError:
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return OptionError(option, f"{shown!r}: {what}; one would be {EXAMPLE}")
