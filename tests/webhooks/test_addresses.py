import asyncio
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy.errors import CallbackRefused
from onecopy.webhooks.addresses import Network, Resolve, addresses_of
from onecopy.webhooks.names import resolve
from onecopy.webhooks.urls import read_url

LOOPBACK: Sequence[Network] = [
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
]

ATTACKS = [
    # Addresses of this machine.
    "https://127.0.0.1/",
    "https://127.255.255.254/",
    "https://0.0.0.0/",
    "https://0.1.2.3/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    # Addresses of this network.
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    # Metadata of clouds: AWS, Google, Azure; Alibaba; Oracle; Azure's own; AWS, Google by IPv6.
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://168.63.129.16/",
    "https://[fd00:ec2::254]/",
    "https://[fd20:ce::254]/",
    # Nobody's, everybody's, for documents and measurements.
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://192.88.99.1/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    # IPv4 in IPv6: mapped, compatible, 6to4, Teredo, NAT64, local NAT64, ISATAP.
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::10.0.0.1]/",
    "https://[2400:cb00::5efe:10.0.0.1]/",
    # Spellings of addresses.
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.01/",
    "https://127.0.0.1.1/",
    "https://1.1.1.256/",
    "https://0/",
    "https://0x/",
    "https://[::1%25lo]/",
    "https://[::1%lo]/",
    "https://[127.0.0.1]/",
    "https://[v1.fe80::a]/",
    # Names of this machine, and what only looks like a public one.
    "https://localhost/",
    "https://LOCALHOST./",
    "https://www.localhost/",
    "https://localhost.localdomain/",
    "https://ip6-localhost/",
    "https://127.0.0.1.nip.io/",
    "https://metadata.google.internal/",
    # IDNA: letters that turn into others.
    "https://ⓛocalhost/",
    "https://①②⑦.⓪.⓪.①/",
    "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "https://127。0。0。1/",
    "https://loc\u00adalhost/",
    "https://%6c%6f%63%61%6c%68%6f%73%74/",
    "https://127%2e0%2e0%2e1/",
    # What two programs read differently.
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\.127.0.0.1/",
    "https://127.0.0.1:443:80/",
    "https://127.0.0.1#@example.com/",
    "https://example.com#/",
    "https://[::1]example.com/",
    "https://exam ple.com/",
    "https://example.com/\r\nHost: 127.0.0.1",
    "https://example.com\t/",
    "https://example.com\x00/",
    "\thttps://example.com/",
    "https://example..com/",
    "https://example.com../",
    "https://-example.com/",
    "https:///example.com/",
    "https:example.com",
    "https:/example.com/",
    "//example.com/",
    "https://",
    "https://.",
    "https://?@example.com/",
    "",
    # Other schemes, and no TLS.
    "http://example.com/",
    "HTTP://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com:6379/_INFO",
    "javascript:alert(1)",
    "https+unix://%2fvar%2frun%2fdocker.sock/",
    # Ports of other protocols.
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:99999999999/",
    "https://example.com:-1/",
    "https://example.com:\uff18\uff10/",
    "https://example.com:/",
    "https://example.com/" + "a" * 2048,
]
_NAMES = {
    "example.com": ["93.184.216.34", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "localhost": ["127.0.0.1", "::1"],
    "www.localhost": ["::1"],
    "localhost.localdomain": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
}


async def known(host: str) -> list[str]:
    return _NAMES[host]


def names(*addresses: str) -> Resolve:
    async def answer(_host: str) -> list[str]:
        return list(addresses)

    return answer


def check(url: str, resolve: Resolve = known, allow: Sequence[Network] = ()) -> list[str]:
    found = asyncio.run(addresses_of(read_url(url), allow, resolve))
    return [str(address) for address in found]


def test_the_table_is_long_enough() -> None:
    assert len(set(ATTACKS)) == len(ATTACKS) >= 40


@pytest.mark.parametrize("url", ATTACKS)
def test_an_attack_is_refused(url: str) -> None:
    with pytest.raises(CallbackRefused):
        check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hooks/%20?token=a@b&x=[1]",
        "HTTPS://EXAMPLE.com.:8443/a:b@c//d",
        "https://1.1.1.1:443/",
        "https://[2606:4700:4700::1111]:9000/",
        "https://[::ffff:1.1.1.1]/",
        "https://[64:ff9b::1.1.1.1]/",
    ],
)
def test_what_is_public_is_not(url: str) -> None:
    assert check(url)


def test_all_addresses_of_a_name_are_checked_and_returned() -> None:
    assert check("https://example.com") == _NAMES["example.com"]


@pytest.mark.parametrize("bad", ["10.0.0.1", "::1", "fe80::1%eth0", "::ffff:169.254.169.254"])
def test_one_address_that_is_refused_is_enough(bad: str) -> None:
    for addresses in (["1.1.1.1", bad], [bad, "1.1.1.1"]):
        with pytest.raises(CallbackRefused, match="no public address"):
            check("https://example.com", names(*addresses))


def test_networks_that_are_allowed() -> None:
    for url in ("https://127.0.0.1:8000/", "https://localhost/", "https://[::ffff:127.0.0.1]/"):
        assert check(url, allow=LOOPBACK)
    for url in ("https://10.0.0.1/", "https://metadata.google.internal/", "https://0x7f.1/"):
        with pytest.raises(CallbackRefused):
            check(url, allow=LOOPBACK)
    assert check("https://example.com/", allow=LOOPBACK)


def test_http_is_for_networks_that_are_allowed_alone() -> None:
    assert check("http://127.0.0.1:8000/", allow=LOOPBACK)
    assert check("http://localhost/", allow=LOOPBACK)
    for resolved in ([], ["1.1.1.1"], ["127.0.0.1", "1.1.1.1"]):
        with pytest.raises((CallbackRefused, OSError)):
            check("http://example.com/", names(*resolved), LOOPBACK)


def test_what_is_connected_to_and_sent_is_what_was_read() -> None:
    target = read_url("https://Example.COM.:8443?a=b")
    assert (target.host, target.port, target.path) == ("example.com", 8443, "/?a=b")
    assert target.authority == "example.com:8443"
    assert read_url("https://[2606:4700::0:1]").authority == "[2606:4700::1]"
    assert read_url("https://[2606:4700::0:1]:8443").authority == "[2606:4700::1]:8443"


@given(
    st.text(max_size=30)
    | st.from_regex(r"(?i)https?://[][a-z0-9@:./?#%\\_-]{0,30}", fullmatch=True)
)
def test_what_is_accepted_is_read_alike_by_others(url: str) -> None:
    """Whatever a client sends is refused, or no other program can take it for something else."""
    try:
        target = read_url(url)
    except CallbackRefused:
        return
    parts, other = urlsplit(url), httpx.URL(url)
    assert (parts.hostname or "").removesuffix(".") in (target.host, f"{target.address}")
    assert (
        ipaddress.ip_address(other.host) == target.address
        if target.address
        else (other.host.removesuffix(".") == target.host)
    )
    assert (parts.port or other.port or _PORTS[target.scheme]) == target.port
    assert (parts.username, other.userinfo) == (None, b"")


_PORTS = {"https": 443, "http": 80}


def test_a_refusal_shows_no_secret() -> None:
    for url in ("https://me:secret@example.com/", "ftp://example.com/?token=secret"):
        with pytest.raises(CallbackRefused) as raised:
            read_url(url)
        assert "secret" not in str(raised.value)
        assert raised.value.url == url


def test_names_are_looked_up_by_the_system() -> None:
    assert "127.0.0.1" in asyncio.run(resolve("localhost"))
    with pytest.raises(OSError, match=r"."):
        asyncio.run(resolve("no-such-host.invalid"))


def test_a_name_that_is_waited_for_no_more() -> None:
    async def give_up() -> None:
        waiting = asyncio.create_task(resolve("localhost"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert "127.0.0.1" in await resolve("localhost")

    asyncio.run(give_up())
