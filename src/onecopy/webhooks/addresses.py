"""Which addresses may be called: those of the public internet, and what the operator allows.

A URL comes from a client. Without this it could have the service call what only the service
reaches: databases, the metadata of a cloud, the machine itself.

Source of the networks: IANA's registries of special-purpose addresses for IPv4 and IPv6.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from onecopy.errors import CallbackRefused
from onecopy.webhooks.urls import Address, Target

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network
type Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the addresses of a host name; raises OSError if there are none."""

_REFUSED_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this" host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own, inside each of its machines
        "169.254.0.0/16",  # link-local: the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocols; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT relays
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
"""All that is global; loopback, link-local, private and multicast addresses are outside of it."""
_REFUSED_6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocols; Teredo, which carries IPv4
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries IPv4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
NOT_PUBLIC: Final = "its host has no public address, nor one that ONECOPY_WEBHOOK_ALLOW allows"
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 as a network of IPv6 alone has it: judged by what it carries."""


def refusal(address: Address, allow: Sequence[Network]) -> str | None:
    """Return why an address may not be called; None if it may."""
    meant = _meant(address)
    if _within(meant, allow) or _within(address, allow):
        return None
    return None if _is_public(meant) else NOT_PUBLIC


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it reaches just that."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not _within(address, _REFUSED_4)
    # ISATAP carries IPv4 behind any prefix.
    isatap = (int(address) >> 32) & 0xFDFF_FFFF == 0x5EFE
    return address in _PUBLIC_6 and not _within(address, _REFUSED_6) and not isatap


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks)


def check_as_written(target: Target, allow: Sequence[Network]) -> None:
    """Check what can be said of a URL before its host is looked up. Raises CallbackRefused."""
    if target.scheme == "http" and not allow:
        raise CallbackRefused(target.url, "it has to begin with https://")
    if target.address is not None:
        _check(target, target.address, allow)


async def addresses_of(
    target: Target, allow: Sequence[Network], resolve: Resolve
) -> Sequence[Address]:
    """Return the addresses to connect to, each of them checked; nobody may look them up again.

    One that is refused is enough to refuse them all.

    Raises CallbackRefused; and OSError if the name has no address, or not now.
    """
    check_as_written(target, allow)
    if target.address is not None:
        return [target.address]
    found = [ipaddress.ip_address(each) for each in await resolve(target.host)]
    if not found:
        raise OSError(f"{target.host} has no address")
    for address in found:
        _check(target, address, allow)
    return found


def _check(target: Target, address: Address, allow: Sequence[Network]) -> None:
    reason = refusal(address, allow)
    if reason is not None:
        raise CallbackRefused(target.url, reason)
    if target.scheme == "http" and not _within(_meant(address), allow):
        raise CallbackRefused(target.url, "it has to begin with https://")
