"""The servers that the demo runs on, where it is to use others than the embedded ones."""

import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

STORES = ("sqlite", "redis", "postgres")
ENGINES = ("local", "redis", "postgres", "rabbitmq", "kafka", "celery")
_CELERY_ON = "redis"
"""The broker that Celery uses here."""


@contextmanager
def environment(engine: str | None, store: str | None) -> Generator[dict[str, str]]:
    """Start the servers that these need; gives the variables by which the service finds them."""
    if engine is None and store is None:
        yield {**os.environ}
        return
    # `servers` is beside `examples`; its clients are not installed where only the demo is.
    sys.path.append(str(Path(__file__).parents[2]))
    from servers.kinds import KINDS

    broker = _CELERY_ON if engine == "celery" else engine
    names = {name for name in (broker, store) if name in KINDS}
    with ExitStack() as running:
        urls = {name: _url(running, name) for name in sorted(names)}
        found: dict[str, str] = {}
        if store in urls:
            found["ONECOPY_STORE"] = urls[store]
        if engine is not None and broker is not None:
            prefix = "celery+" if engine == "celery" else ""
            found["ONECOPY_ENGINE"] = prefix + urls[broker] if broker in urls else f"{broker}:"
        for variable, url in found.items():
            print(f"{variable}={url}", flush=True)
        yield {**os.environ, **found}


def _url(running: ExitStack, name: str) -> str:
    from servers.kinds import KINDS
    from servers.process import Missing, NotReady

    print(f"starting {name} ...", flush=True)
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="onecopy-demo-")))
    folder.chmod(0o755)  # a server that does not run as root has its data in there
    try:
        return running.enter_context(KINDS[name](folder / name)).url
    except (Missing, NotReady) as error:
        raise SystemExit(f"{name}: {error}") from None
