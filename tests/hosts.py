"""Hosts for tests: network namespaces, or folders where those cannot be had.

Each is reached by an address of its own and reaches servers of this machine, until it is cut off.
"""

import secrets
import shutil
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol

from tests.proxy import Proxy


class Host(Protocol):
    """One host.

    command: what comes before a command that is to run there. address: where it can be reached.
    """

    command: tuple[str, ...]
    address: str

    def reach(self, url: str, port: int) -> str:
        """Return the URL by which it reaches a server on a port of this machine."""
        ...

    def cut_off(self) -> None:
        """From here on nothing comes to it, and nothing from it arrives."""
        ...


class Network(Protocol):
    """Hosts that reach one another."""

    def host(self) -> Host:
        """Return a new one."""
        ...


class _Folder:
    """A folder of this machine: cut off, it is refused by the servers, and in reach still."""

    command = ()
    address = "127.0.0.1"

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._ways: list[Proxy] = []

    def reach(self, url: str, port: int) -> str:
        proxy = self._stack.enter_context(Proxy(port))
        self._ways.append(proxy)
        return _by(url, port, proxy)

    def cut_off(self) -> None:
        for proxy in self._ways:
            proxy.go_away()


class _Folders:
    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def host(self) -> Host:
        return _Folder(self._stack)


class _Namespace:
    """Cut off, its packets are dropped without a word, as when a cable is pulled."""

    def __init__(self, bridge: str, number: int, network: str, stack: ExitStack) -> None:
        name = f"{bridge}h{number}"
        self.command = ("ip", "netns", "exec", name)
        self.address = f"{network}.{number + 2}"
        self._end = f"{bridge}v{number}"
        self._here = f"{network}.1"
        self._stack = stack
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "del", name)
        _ip("link", "add", self._end, "type", "veth", "peer", "name", "eth0", "netns", name)
        # At once, and not when the last process in there has ended.
        stack.callback(_ip, "link", "del", self._end)
        _ip("link", "set", self._end, "master", bridge, "up")
        _ip("-n", name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", name, "link", "set", device, "up")

    def reach(self, url: str, port: int) -> str:
        return _by(url, port, self._stack.enter_context(Proxy(port, self._here)))

    def cut_off(self) -> None:
        _ip("link", "set", self._end, "nomaster")


class _Namespaces:
    def __init__(self, stack: ExitStack) -> None:
        self._bridge: Final = f"oc{secrets.token_hex(3)}"
        # Addresses for tests of networks (RFC 2544), which lead nowhere.
        self._network: Final = f"198.18.{secrets.randbelow(256)}"
        self._stack = stack
        self._hosts = 0
        _ip("link", "add", self._bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", self._bridge)
        _ip("addr", "add", f"{self._network}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def host(self) -> Host:
        self._hosts += 1
        return _Namespace(self._bridge, self._hosts, self._network, self._stack)


@contextmanager
def folders() -> Generator[Network]:
    """Yield hosts that are folders; what they have open is closed afterwards."""
    with ExitStack() as stack:
        yield _Folders(stack)


@contextmanager
def namespaces() -> Generator[Network]:
    """Yield hosts that are network namespaces; folders without the right, or the programs, to."""
    with ExitStack() as stack:
        try:
            network: Network = _Namespaces(stack)
            network.host()
        except (OSError, subprocess.CalledProcessError):
            network = _Folders(stack)
        yield network


def _by(url: str, port: int, proxy: Proxy) -> str:
    here, there = f"127.0.0.1:{port}", f"{proxy.host}:{proxy.port}"
    assert here in url, "a server of this machine"
    return url.replace(here, there)


def _ip(*words: str) -> None:
    if shutil.which("ip") is None:
        raise FileNotFoundError("ip (iproute2) is not installed")
    subprocess.run(["ip", *words], check=True, capture_output=True)
