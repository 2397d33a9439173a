"""One copy under Gunicorn: `gunicorn -c python:onecopy.gunicorn app:app -w 4 -k ...`.

Naming this module as Gunicorn's configuration, or writing `from onecopy.gunicorn import *` at the
top of a configuration file, is all there is to it:

- the app is loaded in Gunicorn's master (`preload_app`), then the resident datasets, then the warm
  functions run; all before the sockets are bound, so that nobody connects to a server that loads;
- just before the first worker is forked the heap is sealed; a worker that dies, reaches
  `max_requests` or is added by SIGTTIN is forked from the same sealed master;
- SIGHUP replaces the workers and reads the configuration again, as Gunicorn does with every
  preloaded app; new code or new data comes with SIGUSR2.

Gunicorn knows hooks by their names, and a hook of the user's takes the place of one imported with
`*`. So this module defines none: it wraps the methods of the arbiter that these steps belong to.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from onecopy.app import tasks_of_all
from onecopy.server.collection import rare_collections
from onecopy.server.master import Master
from onecopy.server.preload import preload, preload_for_submitting

if not hasattr(os, "fork"):
    raise ImportError("onecopy.gunicorn needs os.fork, which this system does not have.")
try:
    from gunicorn.arbiter import Arbiter
except ImportError as error:
    raise ImportError(
        "onecopy.gunicorn is a configuration for Gunicorn, and Gunicorn cannot be imported "
        f"({error}). Install it: pip install 'onecopy[gunicorn]'."
    ) from error

if TYPE_CHECKING:
    import logging

    from gunicorn.app.base import BaseApplication

__all__ = ["preload_app"]

preload_app = True


def _log(arbiter: Arbiter) -> logging.Logger:
    """The arbiter's logger, there from its set-up on; it has the methods of one of `logging`."""
    return cast("logging.Logger", arbiter.log)


def _import_what_workers_need(arbiter: Arbiter) -> None:
    """Import what each worker of Uvicorn's would import for itself, so that it is shared."""
    options: Any = getattr(arbiter.worker_class, "CONFIG_KWARGS", None)
    if options is None:  # not a worker of Uvicorn's
        return
    from uvicorn import Config

    try:
        config = Config(cast("Any", arbiter.app.wsgi()), log_config=None, **options)
        config.load()
        preload(config)
        if tasks_of_all():
            preload_for_submitting()
    except Exception as error:
        # What is missing here is missing in the worker too, which says so in its own way.
        _log(arbiter).debug("Uvicorn could not be imported ahead: %s", error)


def _load(master: Master, arbiter: Arbiter) -> None:
    """Load; exit if the user's code raises."""
    if not master.load(_log(arbiter)):
        raise SystemExit(Arbiter.APP_LOAD_ERROR)


def _seal(master: Master, arbiter: Arbiter) -> None:
    if not master.sealed:
        _import_what_workers_need(arbiter)
        master.seal(_log(arbiter))


def _warn_of_settings(arbiter: Arbiter, preloads: bool) -> None:
    """Say which settings of the user's cannot be had together with a sealed master."""
    log = _log(arbiter)
    if not preloads:
        log.warning("preload_app was off; it is on now: there is one copy only of a preloaded app")
    if arbiter.cfg.reload:
        log.warning(
            "reload cannot see new code here: workers are forked from the loaded app. Leave "
            "onecopy.gunicorn out while you develop, or use `onecopy run --reload`"
        )


def _install() -> None:
    """Put the loading and the sealing where Gunicorn sets up its app and forks.

    Raises ImportError if this Gunicorn has no such places.
    """
    missing = [name for name in ("setup", "spawn_worker") if not hasattr(Arbiter, name)]
    if missing:
        from gunicorn import __version__

        raise ImportError(
            f"onecopy.gunicorn does not fit Gunicorn {__version__}, whose arbiter has no "
            f"{' and no '.join(missing)}. Gunicorn 23 to 27 are known to work."
        )
    master = Master("post_fork, or the lifespan of the app")
    set_up, spawn_worker = Arbiter.setup, Arbiter.spawn_worker

    def setup(self: Arbiter, app: BaseApplication) -> None:
        preloads = app.cfg.preload_app
        app.cfg.set("preload_app", True)
        with rare_collections():
            set_up(self, app)
            _warn_of_settings(self, preloads)
            _load(master, self)

    def sealed_spawn_worker(self: Arbiter) -> int:
        _seal(master, self)
        return spawn_worker(self)

    Arbiter.setup = setup
    Arbiter.spawn_worker = sealed_spawn_worker
    _seal_before_other_forks(master)


def _seal_before_other_forks(master: Master) -> None:
    """Gunicorn 25 and later may fork a "dirty" arbiter before the first worker."""
    spawn = getattr(Arbiter, "spawn_dirty_arbiter", None)
    if spawn is None:
        return

    def sealed_spawn_dirty_arbiter(self: Arbiter) -> int | None:
        _seal(master, self)
        return spawn(self)

    Arbiter.spawn_dirty_arbiter = sealed_spawn_dirty_arbiter


_install()
