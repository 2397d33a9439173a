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
import warnings
from typing import TYPE_CHECKING, Any, cast

from onecopy import datasets, heap
from onecopy.errors import OneCopyError, UserCodeError
from onecopy.server.collection import rare_collections
from onecopy.server.fork_safety import other_threads
from onecopy.server.narration import megabytes
from onecopy.server.preload import preload

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
    from gunicorn.app.base import BaseApplication
    from gunicorn.glogging import Logger

__all__ = ["preload_app"]

preload_app = True


class _Master:
    """What has been done in this process, the master, on behalf of all its workers."""

    def __init__(self) -> None:
        self._loaded = False
        self._sealed = False

    def load(self, arbiter: Arbiter) -> None:
        """Load the datasets and run the warm functions, once; exit if one of them raises."""
        if self._loaded:
            return
        self._loaded = True
        log = _log(arbiter)
        try:
            for dataset in datasets.registered():
                dataset.load()
                log.info("Loaded dataset %s in %.2f s", dataset.name, dataset.load_seconds)
            for warmer in datasets.warmers():
                warmer()
        except OneCopyError as error:
            if isinstance(error, UserCodeError):
                log.error("%s\n%s", error, error.user_traceback.rstrip())
            else:
                log.error("%s", error)
            raise SystemExit(Arbiter.APP_LOAD_ERROR) from None

    def seal(self, arbiter: Arbiter) -> None:
        """Seal the heap, once, and say what that gave."""
        if self._sealed:
            return
        self._sealed = True
        log = _log(arbiter)
        _import_what_workers_need(arbiter)
        _warn_of_threads(log)
        loaded = [dataset for dataset in datasets.registered() if dataset.loaded]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            report = heap.seal({dataset.name: dataset() for dataset in loaded})
        for dataset in loaded:
            if dataset.name in report.groups:  # a heap that was frozen only is not counted
                dataset.record(report.groups[dataset.name])
        for warning in said:
            log.warning("%s", warning.message)
        if report.immortal:
            _tell(log, report)


def _log(arbiter: Arbiter) -> Logger:
    """The arbiter's logger, which is there from its set-up on."""
    return cast("Logger", arbiter.log)


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
    except Exception as error:
        # What is missing here is missing in the worker too, which says so in its own way.
        _log(arbiter).debug("Uvicorn could not be imported ahead: %s", error)


def _warn_of_threads(log: Logger) -> None:
    if threads := other_threads():
        log.warning(
            "These threads are not carried over into the workers: %s. What needs them stands still "
            "there; start them in each worker (post_fork, or the lifespan of the app).",
            ", ".join(threads),
        )


def _tell(log: Logger, report: heap.SealReport) -> None:
    log.info(
        "Sealed %s objects, %s, in %.2f s: the workers share one copy",
        f"{report.objects:,}",
        megabytes(report.bytes),
        report.seconds,
    )


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
    master = _Master()
    set_up, spawn_worker = Arbiter.setup, Arbiter.spawn_worker

    def setup(self: Arbiter, app: BaseApplication) -> None:
        preloads = app.cfg.preload_app
        app.cfg.set("preload_app", True)
        with rare_collections():
            set_up(self, app)
            _warn_of_settings(self, preloads)
            master.load(self)

    def sealed_spawn_worker(self: Arbiter) -> int:
        master.seal(self)
        return spawn_worker(self)

    Arbiter.setup = setup
    Arbiter.spawn_worker = sealed_spawn_worker
    _seal_before_other_forks(master)


def _seal_before_other_forks(master: _Master) -> None:
    """Gunicorn 25 and later may fork a "dirty" arbiter before the first worker."""
    spawn = getattr(Arbiter, "spawn_dirty_arbiter", None)
    if spawn is None:
        return

    def sealed_spawn_dirty_arbiter(self: Arbiter) -> int | None:
        master.seal(self)
        return spawn(self)

    Arbiter.spawn_dirty_arbiter = sealed_spawn_dirty_arbiter


_install()
