"""`onecopy run`: uvicorn's options, and those that one copy adds.

uvicorn's own options are taken from uvicorn's command, so that a start command changes in one
word, whatever uvicorn's version.
"""

import copy
import importlib.util
import inspect
import os
import re
import sys
from typing import Any, Final, NoReturn, cast

import click
import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.main import main as uvicorn_command

from onecopy.errors import OptionError
from onecopy.execution.queues import Queues
from onecopy.server.cpus import usable_cpus
from onecopy.server.launch import Options, launch

_REPLACED: Final = {
    "app",
    "workers",
    "lifespan",
    "limit_max_requests",
    "limit_max_requests_jitter",
    "timeout_worker_healthcheck",
    "reload",
}
"""Parameters of uvicorn's command that have another meaning or default here."""
_RELOAD: Final = ("reload_dirs", "reload_includes", "reload_excludes", "reload_delay")
_UNITS: Final = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3} | {
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}
_CONFIG_ARGUMENTS: Final = frozenset(inspect.signature(uvicorn.Config).parameters)


class _Bytes(click.ParamType[int]):
    """A size in bytes: `200MB`, `1.5GiB`, `1000000`."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the size as a number of bytes."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", str(value))
        if match is None or match[2].upper() not in _UNITS:
            self.fail(f"{value!r} is no size: write for example 200MB or 1.5GiB", param, ctx)
        size = int(float(match[1]) * _UNITS[match[2].upper()])
        if size < 1:
            self.fail("must be more than 0", param, ctx)
        return size


JOB_OPTIONS: Final = (
    click.Option(
        ["--queues"],
        default="default",
        show_default=True,
        help="Queues that job workers serve. default,slow: strictly in this order. "
        "default:3,slow:1: three jobs from default for each one from slow.",
    ),
    click.Option(
        ["--concurrency"],
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Async jobs that a job worker runs at once.",
    ),
)


def _own_options() -> list[click.Parameter]:
    at_least_one = click.IntRange(min=1)
    return [
        click.Argument(["app"], envvar="ONECOPY_APP", metavar="APP"),
        click.Option(
            ["--workers"],
            type=at_least_one,
            envvar=["ONECOPY_WORKERS", "WEB_CONCURRENCY"],
            help="Web workers.  [default: the processors this process may use]",
        ),
        click.Option(
            ["--job-workers"],
            type=click.IntRange(min=0),
            help="Job workers.  [default: one if the app has tasks]",
        ),
        *JOB_OPTIONS,
        click.Option(
            ["--lifespan"],
            type=click.Choice(["auto", "on", "off", "image"]),
            default="auto",
            show_default=True,
            help="Where the lifespan runs: in each worker, as with uvicorn, or once in the "
            "image, before the seal.",
        ),
        click.Option(
            ["--reload"], is_flag=True, help="Start a new generation when a file changes."
        ),
        click.Option(
            ["--max-requests", "--limit-max-requests", "max_requests"],
            type=at_least_one,
            help="Replace a worker after so many requests.",
        ),
        click.Option(
            ["--max-requests-jitter", "--limit-max-requests-jitter", "max_requests_jitter"],
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Add up to so many, at random, for each worker.",
        ),
        click.Option(
            ["--max-worker-memory"],
            type=_Bytes(),
            help="Replace a worker whose private memory grows over this, e.g. 200MB.",
        ),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0, min_open=True),
            help="Kill and replace a worker whose event loop does not turn for so many seconds, "
            "and log its stack.",
        ),
        click.Option(
            ["--state-dir"],
            type=click.Path(file_okay=False),
            default=".onecopy",
            show_default=True,
            help="Folder for what a run keeps on disk.",
        ),
        click.Option(["--debug"], is_flag=True, help="Show tracebacks whole."),
    ]


def _uvicorn_options() -> list[click.Parameter]:
    taken: list[click.Parameter] = []
    for parameter in uvicorn_command.params:
        if parameter.name in _REPLACED or not parameter.expose_value:
            continue
        taken.append(copy.copy(parameter))
    return taken


def _parameters() -> list[click.Parameter]:
    parameters = _own_options() + _uvicorn_options()
    for parameter in parameters:
        if parameter.envvar is None:
            long = max(option for option in parameter.opts if option.startswith("--"))
            parameter.envvar = "ONECOPY_" + long.lstrip("-").replace("-", "_").upper()
    return parameters


def _check(values: dict[str, Any]) -> None:
    """Refuse, before anything runs, what could only fail later and less clearly."""
    if not 0 <= values["port"] <= 65535:
        raise OptionError("--port", f"{values['port']} is no port (0 to 65535)")
    ways = [name for name in ("uds", "fd") if values[name] is not None]
    if len(ways) > 1:
        raise OptionError("--uds", "does not go with --fd")
    if bool(values["ssl_keyfile"]) and not values["ssl_certfile"]:
        raise OptionError("--ssl-keyfile", "needs --ssl-certfile too")
    for option in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs"):
        if values[option]:
            _check_readable(f"--{option.replace('_', '-')}", values[option])
    if not os.path.isdir(values["app_dir"] or "."):
        raise OptionError("--app-dir", f"{values['app_dir']} is no folder")


def _queues(text: str) -> Queues:
    try:
        return Queues.parse(text)
    except ValueError as error:
        raise OptionError("--queues", str(error)) from None


def _check_readable(option: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise OptionError(option, f"cannot read {path}: {error.strerror}") from None


def _check_certificate(values: dict[str, Any]) -> None:
    import ssl

    try:
        ssl.SSLContext(values["ssl_version"]).load_cert_chain(
            values["ssl_certfile"], values["ssl_keyfile"], values["ssl_keyfile_password"] or ""
        )
    except (ssl.SSLError, ValueError) as error:
        raise OptionError(
            "--ssl-certfile",
            f"cannot use {values['ssl_certfile']}"
            + (f" with {values['ssl_keyfile']}" if values["ssl_keyfile"] else "")
            + f": {error}",
        ) from None


def _check_watchfiles() -> None:
    if importlib.util.find_spec("watchfiles") is None:
        raise OptionError("--reload", 'needs watchfiles: pip install "onecopy[standard]"') from None


# What workers say of jobs looks like what uvicorn says of requests.
_LOGGING: Final[dict[str, Any]] = LOGGING_CONFIG | {
    "loggers": LOGGING_CONFIG["loggers"]
    | {"onecopy": {"handlers": ["default"], "level": "INFO", "propagate": False}}
}


def _uvicorn_arguments(values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `uvicorn.Config` in each worker."""
    arguments = {
        name: value
        for name, value in values.items()
        if name in _CONFIG_ARGUMENTS and name not in _REPLACED and name not in _RELOAD
    }
    for name in ("host", "port", "uds", "fd", "app_dir"):
        arguments.pop(name, None)
    arguments["headers"] = [header.split(":", 1) for header in values["headers"]]
    arguments["log_config"] = values["log_config"] or _LOGGING
    arguments["lifespan"] = "on" if values["lifespan"] == "image" else values["lifespan"]
    arguments["workers"] = values["workers"]
    if values["log_config"] is not None:
        arguments["log_config"] = os.path.abspath(values["log_config"])
    return arguments


def start(tier: str, values: dict[str, Any]) -> NoReturn:
    """Become the supervisor of a tier: "all", "web" or "worker".

    Raises StartError: an option, an address or the state folder cannot be had.
    """
    values = _with_defaults(values)
    values["workers"] = values["workers"] or usable_cpus()
    queues = _queues(values["queues"])
    if tier == "worker":
        values["job_workers"] = values["workers"]
    _check(values)
    if values["ssl_certfile"]:
        _check_certificate(values)
    if values["reload"]:
        _check_watchfiles()
    terminal = sys.stderr.isatty()
    colors = values["use_colors"] if values["use_colors"] is not None else terminal
    own = {
        name: values[name]
        for name in (
            "app",
            "app_dir",
            "workers",
            "job_workers",
            "concurrency",
            "host",
            "port",
            "uds",
            "fd",
            "backlog",
            "state_dir",
            "max_requests",
            "max_requests_jitter",
            "max_worker_memory",
            "timeout",
            "timeout_keep_alive",
            "timeout_graceful_shutdown",
            "debug",
        )
    }
    launch(
        Options(
            **own,
            tier=tier,
            queues=list(queues.names),
            weights=list(queues.weights),
            lifespan_in_image=values["lifespan"] == "image",
            reload={name: _listed(values[name]) for name in _RELOAD} if values["reload"] else None,
            uvicorn=_uvicorn_arguments(values),
            log_level=values["log_level"] or "info",
            colors=colors,
            terminal=terminal,
        )
    )


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with those of the options that a tier's command does not take."""
    everything = click.Command("onecopy", params=_parameters())
    return {**everything.make_context("onecopy", [values["app"]]).params, **values}


def _listed(value: Any) -> Any:  # noqa: ANN401 - as the option
    return (list(cast(tuple[str, ...], value)) or None) if isinstance(value, tuple) else value


_OF_JOBS: Final = frozenset({"job_workers", "queues", "concurrency"})
_OF_WORKERS: Final = _OF_JOBS - {"job_workers"} | {
    "app",
    "app_dir",
    "debug",
    "env_file",
    "factory",
    "log_config",
    "log_level",
    "reload",
    "reload_delay",
    "reload_dirs",
    "reload_excludes",
    "reload_includes",
    "state_dir",
    "timeout_graceful_shutdown",
    "use_colors",
    "workers",
}


def _of_worker(parameter: click.Parameter) -> click.Parameter:
    if isinstance(parameter, click.Option) and parameter.name == "workers" and parameter.help:
        parameter.help = parameter.help.replace("Web workers", "Job workers")
    return parameter


def parameters_of(tier: str) -> list[click.Parameter]:
    """Return the parameters that a tier's command takes."""
    if tier == "worker":
        return [_of_worker(each) for each in _parameters() if each.name in _OF_WORKERS]
    left_out = _OF_JOBS if tier == "web" else frozenset[str]()
    return [each for each in _parameters() if each.name not in left_out]


def tier_command(name: str, tier: str, help_text: str) -> click.Command:
    """Return the command that starts a tier."""

    def callback(**values: Any) -> NoReturn:  # noqa: ANN401 - as many types as options
        start(tier, values)

    return click.Command(
        name,
        callback=callback,
        params=parameters_of(tier),
        help=f"{help_text}\n\nAPP is module:attribute. Every option can also be given as a "
        "variable: --log-level as ONECOPY_LOG_LEVEL.",
    )


command = tier_command(
    "run",
    "all",
    "Serve an ASGI app with one copy of its data, and run its jobs. Every option of uvicorn's is "
    "taken.",
)
