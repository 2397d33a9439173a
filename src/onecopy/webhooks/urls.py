"""A URL to be called back, taken apart once: what is checked, connected to and sent is the same.

Strict, because two programs that read one URL differently are how addresses are smuggled past a
check. Only ASCII, no name and password, hosts as DNS has them, IPv4 as four decimal numbers.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from onecopy.errors import CallbackRefused

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST: Final = 2048
_WRITTEN: Final = re.compile(r"[!$-;=?-\[\]_a-z~]+")
"""What RFC 3986 has in a URL, without a fragment (which is never sent)."""
_PARTS: Final = re.compile(
    r"(?P<scheme>[a-z0-9+.-]+)://(?P<host>\[[^]/?]*\]|[^]:/?[]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?]*)?(?P<query>\?.*)?",
    re.IGNORECASE,
)
_HOST: Final = re.compile(r"(?!.{254})(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.(?!$)|$))+")
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""A host that some programs read as an IPv4 address: its last part is a number (WHATWG URL)."""
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send: made of what the URL says, and of nothing else.

    host: in small letters, without brackets and without a dot at its end. address: the host itself,
    if it is an address. path: with the query.
    """

    url: str
    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str
    address: Address | None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a connection is to."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(url: str) -> Target:
    """Return what a URL leads to, as it is written. Raises CallbackRefused."""
    if len(url) > _LONGEST:
        raise CallbackRefused(url[:100], f"it is longer than {_LONGEST} characters")
    if not _WRITTEN.fullmatch(url):
        raise CallbackRefused(
            url, "write it in ASCII, with %20 and the like, a host as xn--..., and no fragment (#)"
        )
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
    if "@" in authority:
        raise CallbackRefused(url, "it has a name or a password in it: let the signature do that")
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise CallbackRefused(url, "it is no URL: write it as https://host/path")
    scheme = _scheme(url, parts["scheme"].lower())
    host, address = _host(url, parts["host"].lower())
    path = (parts["path"] or "/") + (parts["query"] or "")
    return Target(url, scheme, host, _port(url, scheme, parts["port"]), path, address)


def _scheme(url: str, scheme: str) -> Literal["http", "https"]:
    if scheme not in _PORTS:
        raise CallbackRefused(url, "it has to begin with https://")
    return cast(Literal["http", "https"], scheme)


def _port(url: str, scheme: str, written: str | None) -> int:
    if written is None:
        return _PORTS[scheme]
    port = int(written)
    if port not in _PORTS.values() and not 1024 <= port <= 65535:
        raise CallbackRefused(url, f"port {port} is no port of HTTP: 443, or 1024 and over")
    return port


def _host(url: str, written: str) -> tuple[str, Address | None]:
    if written.startswith("["):
        return _version_6(url, written[1:-1])
    host = written.removesuffix(".")
    if _NUMBER.fullmatch(host):
        return _version_4(url, host)
    if not _HOST.fullmatch(host):
        raise CallbackRefused(url, "its host is no host name")
    return host, None


def _version_4(url: str, host: str) -> tuple[str, Address]:
    try:
        return host, ipaddress.IPv4Address(host)
    except ValueError:
        raise CallbackRefused(
            url, "its host is a number: write an address as four decimal numbers, as 192.0.2.1"
        ) from None


def _version_6(url: str, host: str) -> tuple[str, Address]:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise CallbackRefused(url, "what stands in [ ] is no IPv6 address") from None
    if address.scope_id is not None:
        raise CallbackRefused(url, "an address with a zone (%) is of this machine alone")
    return str(address), address
