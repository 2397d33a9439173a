"""From the options to a running supervisor.

This process binds and checks while it has all of Python to do so, and then becomes the supervisor
by exec: the same pid, the same parent, and a few megabytes.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, NoReturn

from onecopy.engines import local
from onecopy.errors import StateFolderError
from onecopy.execution import calls, distant_calls
from onecopy.server import console, supervisor
from onecopy.server.binding import Bound, bind
from onecopy.server.control_server import open_socket, prepare_state_folder
from onecopy.server.process import become_subreaper
from onecopy.server.settings import Settings
from onecopy.server.signals import SIGNALS

_SUPERVISOR = (
    "import sys; sys.path.append({source!r}); from onecopy.server.supervisor import main; main()"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says beyond uvicorn's own options."""

    app: str
    app_dir: str
    tier: str
    workers: int
    job_workers: int | None
    queues: list[str]
    weights: list[int]
    concurrency: int
    host: str
    port: int
    uds: str | None
    fd: int | None
    backlog: int
    state_dir: str
    lifespan_in_image: bool
    max_requests: int | None
    max_requests_jitter: int
    max_worker_memory: int | None
    timeout: float | None
    timeout_keep_alive: int
    timeout_graceful_shutdown: int | None
    reload: dict[str, Any] | None
    uvicorn: dict[str, Any]
    log_level: str
    colors: bool
    terminal: bool
    debug: bool


def launch(options: Options) -> NoReturn:
    """Become the supervisor.

    Raises:
        BindError: an address cannot be listened on.
        OptionError: calls of other hosts are configured, but not wholly.
        StateFolderError: the state folder cannot be used.
    """
    state_dir = os.path.abspath(options.state_dir)
    bound = _bind(options)
    takes_jobs = options.tier != "web" and options.job_workers != 0
    distant, address = _open_gateway() if takes_jobs else (-1, "")
    bell = call = -1
    try:
        prepare_state_folder(state_dir)
        control = open_socket(state_dir, os.getpid())
        if takes_jobs:
            bell, call = _open_job_sockets(state_dir)
    except OSError as error:
        if bound.uds is not None:
            os.unlink(bound.uds)
        raise StateFolderError(state_dir, error.strerror or str(error)) from None
    become_subreaper()
    console_fd = console.start(options.app, options.log_level) if options.terminal else -1
    kept = {key: value for key, value in vars(options).items() if key not in _NOT_KEPT}
    settings = Settings(
        {
            **kept,
            "app_dir": os.path.abspath(options.app_dir),
            "state_dir": state_dir,
            "argv": sys.argv,
            "python": [sys.executable, *interpreter_flags()],
            "sockets": [sock.detach() for sock in bound.sockets],
            "listen": not bound.listening,
            "url": bound.url,
            "bell": bell,
            "calls": call,
            "distant_calls": distant,
            "calls_address": address,
            "uds": bound.uds,
        }
    )
    _exec(settings, control.detach(), console_fd)


def _bind(options: Options) -> Bound:
    if options.tier == "worker":
        return Bound([], "")
    return bind(
        host=options.host,
        port=options.port,
        uds=options.uds,
        fd=options.fd,
        tls=bool(options.uvicorn["ssl_certfile"]),
    )


def _open_job_sockets(state_dir: str) -> tuple[int, int]:
    """Open what this run's job workers wait on, all of them: the bell, and the socket for calls."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        bell = local.listen(local.path_in(state_dir, folder, local.bell_name(os.getpid())))
    finally:
        os.close(folder)
    call = calls.listen(state_dir, calls.socket_name(os.getpid()))
    return bell.detach(), call.detach()


def _open_gateway() -> tuple[int, str]:
    """Open what takes calls of other hosts, and say where; -1 where none are taken."""
    place = distant_calls.place_here()
    if place is None:
        return -1, ""
    first, *others = bind(host=place[0], port=place[1], uds=None, fd=None, tls=False).sockets
    for sock in others:
        sock.close()
    first.listen(calls.BACKLOG)
    host, port = first.getsockname()[:2]
    return first.detach(), f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def interpreter_flags() -> list[str]:
    """Return the flags that this interpreter was started with, as multiprocessing does."""
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]


_NOT_KEPT = ("host", "port", "uds", "fd", "terminal")


def _exec(settings: Settings, control_fd: int, console_fd: int) -> NoReturn:
    # From a module imported here, so that its compiled form is on disk: compiling costs the
    # supervisor a megabyte.
    source = os.path.abspath(supervisor.__file__).removesuffix("/onecopy/server/supervisor.py")
    waited_on = (settings.bell, settings.calls, settings.distant_calls)
    for fd in (*settings.sockets, control_fd, *waited_on):
        if fd < 0:
            continue
        os.set_inheritable(fd, True)
    if console_fd >= 0:
        os.set_inheritable(console_fd, True)
    # Isolated, without site-packages and environment: it needs none of them.
    command = [sys.executable, "-I", "-S", "-E", "-c", _SUPERVISOR.format(source=source)]
    command += [str(settings.save()), str(control_fd), str(console_fd), settings.state_dir]
    sys.stdout.flush()
    sys.stderr.flush()
    # One that arrives before the supervisor has its handlers waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.execv(command[0], command)
