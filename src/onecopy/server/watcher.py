"""Watches files for `--reload`, and tells the supervisor to start a new generation."""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from uvicorn import Config

from onecopy.server.process import die_with, set_name
from onecopy.server.settings import Settings

_logger = logging.getLogger("uvicorn.error")


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def main() -> None:
    """Entry point; arguments: descriptor of the settings, and the supervisor's pid."""
    settings_fd, supervisor = map(int, sys.argv[1:3])
    die_with(supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    set_name("onecopy watcher")
    settings = Settings.load(settings_fd)
    # Here, so that `onecopy run` without --reload does not need watchfiles.
    from uvicorn.supervisors.watchfilesreload import FileFilter
    from watchfiles import watch

    options: dict[str, Any] = {**settings.uvicorn, **(settings.reload or {}), "workers": 1}
    config = Config(app=settings.app, reload=True, **options)
    wanted = FileFilter(config)
    step = int(config.reload_delay * 1000)
    for changes in watch(
        *config.reload_dirs, watch_filter=None, step=step, ignore_permission_denied=True
    ):
        paths = sorted({path for _, name in changes if wanted(path := Path(name))})
        if paths:
            _logger.warning("changed: %s; reloading", ", ".join(map(_shown, paths)))
            os.kill(supervisor, signal.SIGHUP)
