"""Opening the sockets that a run listens on."""

import errno
import os
import socket
import stat
from dataclasses import dataclass

from onecopy.errors import BindError


@dataclass(frozen=True)
class Bound:
    """Open sockets, not listening yet (but for one given with `--fd`)."""

    sockets: list[socket.socket]
    url: str
    listening: bool = False
    uds: str | None = None


def bind(*, host: str, port: int, uds: str | None, fd: int | None, tls: bool) -> Bound:
    """Open what the options name: a descriptor, a socket file, or every address of a host.

    Raises:
        BindError: it is taken, not ours, or not there.
    """
    if fd is not None:
        return _from_descriptor(fd)
    if uds is not None:
        return _unix(uds)
    return _tcp(host, port, tls=tls)


def _tcp(host: str, port: int, *, tls: bool) -> Bound:
    sockets: list[socket.socket] = []
    try:
        infos = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, OverflowError) as error:
        raise BindError(f"{host}:{port}", str(error)) from None
    for family, kind, protocol, _, address in dict.fromkeys(infos):
        # A port that the system chose for the first address is used for the others too.
        chosen = (address[0], port or (sockets[0].getsockname()[1] if sockets else 0))
        try:
            # With the protocol named, asyncio switches Nagle's algorithm off; else answers
            # wait 40 ms for an acknowledgement.
            sock = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        except OSError:
            continue  # A machine without IPv6 may still have its addresses.
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((*chosen, *address[2:]))
        except OSError as error:
            sock.close()
            if sockets and error.errno == errno.EADDRNOTAVAIL:
                continue
            raise BindError(_shown(host, port), _explain(error)) from None
        sockets.append(sock)
    if not sockets:
        raise BindError(_shown(host, port), "no address of this host can be used here")
    url = f"{'https' if tls else 'http'}://{_shown(host, sockets[0].getsockname()[1])}"
    return Bound(sockets, url)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host or '0.0.0.0'}:{port}"


def _explain(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken by another process (choose another --port)"
    if error.errno == errno.EACCES:
        return "permission denied (ports below 1024 need a privilege)"
    return error.strerror or str(error)


def _unix(path: str) -> Bound:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Connecting to it is for the proxy in front, often another user: as with uvicorn.
    mode = 0o666
    try:
        mode = _remove_dead(path) or mode
        sock.bind(path)
        os.chmod(path, mode)
    except OSError as error:
        sock.close()
        raise BindError(path, error.strerror or str(error)) from None
    except BindError:
        sock.close()
        raise
    return Bound([sock], f"unix:{path}", uds=os.path.abspath(path))


def _remove_dead(path: str) -> int | None:
    """Remove a socket file that nobody listens on any more; return the mode that it had."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(found.st_mode):
        raise BindError(path, "there is a file of another kind; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return stat.S_IMODE(found.st_mode)
    raise BindError(path, "another process listens there")


def _from_descriptor(fd: int) -> Bound:
    try:
        sock = socket.socket(fileno=fd)
        listening = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        name: tuple[str, int] | str = sock.getsockname()
    except OSError as error:
        raise BindError(f"descriptor {fd}", error.strerror or str(error)) from None
    if sock.type != socket.SOCK_STREAM:
        sock.detach()  # It is the caller's.
        raise BindError(f"descriptor {fd}", "it is no stream socket")
    shown = f"http://{_shown(name[0], name[1])}" if isinstance(name, tuple) else f"unix:{name}"
    return Bound([sock], shown, listening=listening)
